import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { chatBody, HttpExchange } from "../http-exchange.ts";
import { RawConnection } from "../raw-connection.ts";
import { System } from "../system.ts";
import { assertRefused, assertWholeStream, openStreams } from "./endings.ts";

const METRICS_TOKEN = "a-token-for-the-metrics-of-this-test";
const MiB = 1024 * 1024;
const CHAT = "/v1/chat/completions";
const GOOD = JSON.stringify(chatBody());

/** An engine that answers as it likes. */
async function startEngine(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((request, response) => {
    if (request.method !== "GET") return listener(request, response);
    response.setHeader("content-type", "application/json").end('{"object":"list","data":[]}');
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    [Symbol.asyncDispose]: close,
  };
}

test("bad HTTP at the door", async (t) => {
  await using system = await System.start(t, { hubEnv: { TOKILAKE_METRICS_TOKEN: METRICS_TOKEN } });
  const { access, apiKey, engine, hub } = system;
  const running = await openStreams(access, 3, () => chatBody({ tokens: 200, intervalMs: 20 }, { stream: true }));
  const { asked } = engine.counts();

  const head = `POST ${CHAT} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${apiKey}\r\ncontent-type: application/json\r\n`;
  const hidden = `POST ${CHAT} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${apiKey}\r\ncontent-type: application/json\r\ncontent-length: ${GOOD.length}\r\n\r\n${GOOD}`;
  const smuggled: Readonly<Record<string, string>> = {
    "two lengths": `content-length: 3\r\ncontent-length: ${hidden.length}\r\n\r\n`,
    "a coding twice": "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding with a tab": "transfer-encoding:\tchunked, identity\r\n\r\n0\r\n\r\n",
    "a coding in an odd spelling": "transfer-encoding: chunKed, x\r\n\r\n0\r\n\r\n",
    "a folded coding": "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "lines that end in LF alone": "content-length: 0\n\n",
    "a chunk extension with LF": `transfer-encoding: chunked\r\n\r\n5;\nxx\r\nabcde\r\n0\r\n\r\n`,
    "a chunk size that overflows": "transfer-encoding: chunked\r\n\r\n10000000000000005\r\nabcde\r\n0\r\n\r\n",
    "a negative chunk size": "transfer-encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n",
    "a NUL in a header": "x-a: b\0c\r\ncontent-length: 0\r\n\r\n",
    "a CR alone in a header": "x-a: b\rcontent-length: 0\r\n\r\n",
  };
  for (const [what, rest] of Object.entries(smuggled)) {
    await t.test(`F35: ${what}: refused, the connection closed, and no hidden request reaches the engine`, async () => {
      using connection = await RawConnection.open(hub.port);

      connection.write(`${head}${rest}${hidden}`);
      await connection.closed();

      assert.match(connection.received, /^HTTP\/1\.1 4\d\d /);
      assert.equal(connection.received.match(/^HTTP\/1\.1 /gm)?.length, 1);
      assert.equal(engine.counts().asked, asked);
    });
  }

  for (const [what, request, status] of [
    [
      "500 headers",
      `POST ${CHAT} HTTP/1.1\r\nhost: hub\r\n${"x-a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n".repeat(500)}\r\n`,
      431,
    ],
    ["an address of 20 KiB", `GET /v1/models?${"a".repeat(20 * 1024)} HTTP/1.1\r\nhost: hub\r\n\r\n`, 431],
    ["a body announced above 512 MiB", `${head}content-length: ${512 * MiB + 1}\r\n\r\n`, 413],
  ] as const) {
    await t.test(`F37: ${what}: ${status} at once, and the connection closes`, async () => {
      using connection = await RawConnection.open(hub.port);

      connection.write(request);
      await connection.closed();

      assert.match(connection.received, new RegExp(`^HTTP/1\\.1 ${status} `));
    });
  }

  for (const path of [
    "/v1/chat/..%5c..%5capi/pull",
    "/v1/%252e%252e/api/pull",
    "/v1/chat/completions;x=/../../api/pull",
    "/v1/%c0%ae%c0%ae/api/pull",
    "/v1/chat/completions%00",
    "http://169.254.169.254/v1/chat/completions",
  ]) {
    await t.test(`F38: the path ${path}: refused, and nothing reaches the engine`, async () => {
      using connection = await RawConnection.open(hub.port);

      connection.write(hidden.replace(CHAT, path));

      const { status } = await connection.answer();
      assert.ok(status === 404 || status === 400, `${status}`);
      assert.equal(engine.counts().asked, asked);
    });
  }

  await t.test("F33: a model's name that is no UTF-8: refused, and nothing reaches the engine", async () => {
    const body = Buffer.concat([
      Buffer.from('{"messages":[],"model":"simulated'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}'),
    ]);

    const exchange = await HttpExchange.whole(access, { body });

    assert.ok(exchange.status === 400 || exchange.status === 404, `${exchange.status}`);
    assert.equal(engine.counts().asked, asked);
  });

  await t.test("F33: text that is no UTF-8 elsewhere in the body: passes unchanged", async () => {
    const body = Buffer.concat([
      Buffer.from('{"model":"simulated","messages":[{"role":"user","content":"'),
      Buffer.from([0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80]),
      Buffer.from('"}]}'),
    ]);

    const exchange = await HttpExchange.whole(access, { body });

    assert.equal(exchange.status, 200, exchange.text);
    assert.equal(engine.requests.at(-1)?.bodySha256, createHash("sha256").update(body).digest("hex"));
  });

  await t.test("F51: a request from this machine itself has no more rights than any other", async () => {
    for (const [method, path] of [
      ["POST", "/chat/completions"],
      ["GET", "/models"],
    ] as const) {
      const answer = await fetch(hub.baseURL + path, { method, ...(method === "POST" && { body: GOOD }) });
      assert.equal(answer.status, 401);
    }
    using worker = await RawConnection.open(hub.port);
    worker.write(
      "GET /api/tokilake/connect HTTP/1.1\r\nhost: hub\r\nconnection: upgrade\r\nupgrade: websocket\r\n" +
        "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
        "sec-websocket-protocol: tokilake.v2\r\n\r\n",
    );
    assert.equal((await worker.answer()).status, 401);
  });

  await t.test("F51: metrics that have a token do not open without it, from this machine neither", async () => {
    assert.equal((await fetch(`${hub.url}/metrics`)).status, 401);
    const authorization = `Bearer ${METRICS_TOKEN}`;
    assert.equal((await fetch(`${hub.url}/metrics`, { headers: { authorization } })).status, 200);
  });

  for (const exchange of running) await assertWholeStream(exchange, 200);
});

test("an engine that tricks", async (t) => {
  await using system = await System.start(t, { worker: false });
  const { access, hub } = system;

  await t.test(
    "F40: a bomb of gzip that nobody asked for: passes as it is or fails, and is never unpacked",
    async () => {
      const bomb = gzipSync(Buffer.alloc(256 * MiB), { level: 9 });
      await using engine = await startEngine((_request, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(bomb);
      });
      const worker = await system.addWorker("worker-gzip", { models: { bomb: engine.url } });
      await system.listing("bomb");
      const before = [hub.process.rssBytes(), worker.rssBytes()];

      const exchange = await HttpExchange.open(access, { body: chatBody({}, { model: "bomb" }) });
      const end = await exchange.ended;

      const growth = [hub.process.rssBytes(), worker.rssBytes()].map((bytes, index) => bytes - (before[index] ?? NaN));
      assert.ok(
        growth.every((bytes) => bytes < 64 * MiB),
        growth.join(),
      );
      if (exchange.status === 200 && end === "clean") {
        assert.equal(exchange.headers["content-encoding"], "gzip");
        assert.ok(exchange.bytes.equals(bomb));
      }
    },
  );

  await t.test("F39: a redirect to a place inside the network: neither followed nor shown", async () => {
    let followed = 0;
    await using inside = await startEngine((_request, response) => {
      followed += 1;
      response.end("secret");
    });
    await using engine = await startEngine((_request, response) => {
      response.writeHead(307, { location: `${inside.url}/latest/meta-data` }).end();
    });
    await system.addWorker("worker-redirect", { models: { redirect: engine.url } });
    await system.listing("redirect");

    const exchange = await HttpExchange.whole(access, { body: chatBody({}, { model: "redirect" }) });

    assert.equal(followed, 0);
    assert.equal(exchange.headers.location, undefined);
    assertRefused(exchange, 502, "upstream_reset");
    assert.ok(!exchange.text.includes("127.0.0.1"));
  });
});
