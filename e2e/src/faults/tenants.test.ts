import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { test } from "node:test";

import { chatText, HttpExchange } from "../http-exchange.ts";
import { createKey } from "../hub.ts";
import { System } from "../system.ts";
import { takes } from "./long.ts";

const STREAMS = 200;
const WORDS = 60;
const WORD_EVERY_MS = 20;

/** An engine that answers each request with the tag that the request holds, over and over. */
async function startEcho(): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((request, response) => {
    if (request.method === "GET") {
      response.setHeader("content-type", "application/json").end('{"object":"list","data":[]}');
      return;
    }
    void text(request).then((body) => {
      const { user } = JSON.parse(body) as { user: string };
      response.writeHead(200, { "content-type": "text/event-stream" });
      let words = 0;
      const timer = setInterval(() => {
        words += 1;
        response.write(`data: {"choices":[{"index":0,"delta":{"content":"${user} "}}]}\n\n`);
        if (words < WORDS) return;
        clearInterval(timer);
        response.end("data: [DONE]\n\n");
      }, WORD_EVERY_MS);
      response.on("close", () => clearInterval(timer));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

test(
  "F52: 200 streams of two tenants while clients hang up and a worker dies: each reads its own words only",
  takes(6),
  async (t) => {
    await using engine = await startEcho();
    await using system = await System.start(t, { worker: false });
    for (const name of ["worker-a", "worker-b"]) {
      const models = { echo: engine.url, [`only-${name}`]: engine.url };
      await system.addWorker(name, { models, env: { TOKIAME_MAX_CONCURRENT: String(STREAMS) } });
    }
    await system.listing("only-worker-a", "only-worker-b");
    const other = { ...system.access, apiKey: await createKey(system.dataDir, "api", "other-tenant") };
    const open = async (index: number) => {
      const tag = `tenant-${index % 2}-stream-${index}`;
      const access = index % 2 === 0 ? system.access : other;
      const body = { model: "echo", stream: true, messages: [], user: tag };
      return { tag, exchange: await HttpExchange.open(access, { body }) };
    };
    await using streams = new AsyncDisposableStack();
    const opened = await Promise.all(Array.from({ length: STREAMS }, (_, index) => open(index)));
    for (const { exchange } of opened) streams.use(exchange);

    // Every fifth client hangs up at a moment of its own; then one worker dies under the rest.
    for (const [index, { exchange, tag }] of opened.entries()) {
      if (index % 5 !== 0) continue;
      await exchange.until(`${tag} `);
      exchange.hangUp();
    }
    system.program("worker-a").kill("SIGKILL");
    await Promise.all(opened.map(({ exchange }) => exchange.ended));

    const whole = opened.filter(
      ({ tag, exchange }) => exchange.text.includes("[DONE]") && chatText(exchange.text) === `${tag} `.repeat(WORDS),
    );
    for (const { tag, exchange } of opened) {
      const words = new Set(exchange.text.match(/tenant-\d-stream-\d+/g));
      assert.ok(words.size === 0 || (words.size === 1 && words.has(tag)), `${tag} read ${[...words].join()}`);
      if (exchange.text.includes("[DONE]")) assert.equal(chatText(exchange.text), `${tag} `.repeat(WORDS));
    }
    t.diagnostic(`${whole.length} of ${STREAMS} streams are whole`);
    assert.ok(whole.length >= 20 && whole.length < STREAMS, `${whole.length}`);
  },
);
