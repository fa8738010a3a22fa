import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { bytesOf, GoLikeHub, GoLikeWorker, type GoRequest } from "../../packages/tunnel/src/go-like-peer.ts";
import { chatBody, HttpExchange, sseData } from "./http-exchange.ts";
import { type Access, System } from "./system.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { startWorker } from "./worker.ts";

/** Sends a request and reads nothing but the first bytes. */
class SilentClient implements Disposable {
  readonly answered: Promise<unknown>;
  readonly #socket: Socket;

  constructor({ baseURL, apiKey }: Access, body: string) {
    const { hostname, port } = new URL(baseURL);
    this.#socket = connect(Number(port), hostname);
    this.#socket.on("error", () => this.#socket.destroy());
    this.answered = once(this.#socket, "readable");
    const head = ["POST /v1/chat/completions HTTP/1.1", `Host: ${hostname}`, `Authorization: Bearer ${apiKey}`];
    const more = ["Content-Type: application/json", `Content-Length: ${Buffer.byteLength(body)}`];
    this.#socket.write([...head, ...more, "", body].join("\r\n"));
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

const EVENTS = { status_code: 200, headers: { "Content-Type": "text/event-stream" } };
/** Left alone the stories take 2 s. */
const WAIT_MS = 20_000;

function event(content: string): object {
  const data = JSON.stringify({ object: "chat.completion.chunk", choices: [{ index: 0, delta: { content } }] });
  return { body_chunk: Buffer.from(`data: ${data}\n\n`).toString("base64") };
}

test("an original worker serves the hub's clients", { timeout: 60_000 }, async (t) => {
  await using system = await System.start(t, { worker: false });
  let serve = (_request: GoRequest): Promise<void> => Promise.resolve();
  using worker = await GoLikeWorker.connect({
    url: `${system.hub.url}/api/tokilake/connect`,
    token: system.workerKey,
    models: ["simulated"],
    serve: (request) => serve(request),
  });
  await system.listing("simulated");

  await t.test("a chat is streamed to its end", async () => {
    serve = (request) => {
      request.track();
      request.send(EVENTS);
      for (const text of ["one ", "two "]) request.send(event(text));
      request.send({ body_chunk: Buffer.from("data: [DONE]\n\n").toString("base64") });
      request.send({ eof: true });
      return Promise.resolve();
    };
    using exchange = await HttpExchange.open(system.access, { body: chatBody({}, { stream: true }) });
    assert.equal(await exchange.ended, "clean");
    assert.equal(exchange.status, 200);
    assert.equal(sseData(exchange.text).at(-1), "[DONE]");
  });

  await t.test(
    "a client that goes away stops the engine, also when the worker missed the first word of it",
    async () => {
      const stopped = Promise.withResolvers<void>();
      serve = async (request) => {
        request.send(EVENTS);
        request.send(event("one "));
        await worker.until(({ type }) => type === "cancel_request");
        await once(request.track(), "abort", { signal: AbortSignal.timeout(WAIT_MS) });
        stopped.resolve();
      };
      const exchange = await HttpExchange.open(system.access, { body: chatBody({}, { stream: true }) });
      await exchange.until("one");
      exchange.hangUp();
      await stopped.promise;
    },
  );

  await t.test("a client that reads nothing is cancelled, and others are answered meanwhile", async () => {
    const stopped = Promise.withResolvers<void>();
    serve = async (request) => {
      const signal = request.track();
      request.send(EVENTS);
      if (request.body.includes('"quick"')) {
        request.send({ ...event("quick "), eof: true });
        return;
      }
      const large = event("x".repeat(30_000));
      while (!signal.aborted) {
        for (let count = 0; count < 32; count++) request.send(large);
        await setImmediate();
      }
      stopped.resolve();
    };
    const body = JSON.stringify(chatBody({}, { stream: true }));
    using slow = new SilentClient(system.access, body);
    await slow.answered;
    const quick = await HttpExchange.whole(system.access, { body: chatBody({}, { stream: true, user: "quick" }) });
    assert.match(quick.text, /quick /);
    await stopped.promise;
  });

  await t.test("an answer that the worker breaks off is visibly failed", async () => {
    serve = (request) => {
      request.send(EVENTS);
      request.send(event("one "));
      return Promise.resolve();
    };
    using exchange = await HttpExchange.open(system.access, { body: chatBody({}, { stream: true }) });
    await exchange.ended;
    assert.match(exchange.text, /"error"/);
    assert.doesNotMatch(exchange.text, /\[DONE\]/);
  });
});

test("our worker serves an original hub from its engine", { timeout: 60_000 }, async (t) => {
  await using system = await System.start(t, { worker: false });
  const server = createServer().listen(0, "127.0.0.1");
  await using closing = new AsyncDisposableStack();
  closing.defer(() => void server.close());
  const hub = new GoLikeHub(server);
  await once(server, "listening");
  const address = server.address();
  const hubUrl = `ws://127.0.0.1:${typeof address === "object" ? address?.port : 0}/connect`;
  const home = closing.use(await temporaryFolder()).path;
  closing.use(
    startWorker({
      hubUrl,
      name: "gaming-pc",
      token: "wk-any",
      home,
      models: { simulated: system.engine.url },
      env: {},
      command: [],
    }),
  );
  const session = await hub.registered();
  const register = session.said[0]?.["register"] as { namespace: string; models: string[] };
  assert.deepEqual([register.namespace, register.models], ["gaming-pc", ["simulated"]]);

  const body = Buffer.from(JSON.stringify(chatBody({ tokens: 3 }, { stream: true }))).toString("base64");
  const headers = { "Content-Type": "application/json" };
  const path = "/v1/chat/completions";
  const line = { route_kind: "chat_completions", method: "POST", path, model: "simulated", headers, body };
  const stream = session.ask({ request_id: "r1", ...line });
  const lines: Record<string, unknown>[] = [];
  for (let next = await stream.readLine(); next !== undefined; next = await stream.readLine()) lines.push(next);

  assert.equal(lines[0]?.["status_code"], 200);
  assert.equal(lines.at(-1)?.["eof"], true);
  const text = lines.map((each) => bytesOf(each["body_chunk"]).toString()).join("");
  assert.equal(sseData(text).at(-1), "[DONE]");
  assert.equal(hub.offered.length, 1, "an original hub gets one connection");
});
