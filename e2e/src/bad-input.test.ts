import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually } from "./eventually.ts";
import { chatBody, HttpExchange } from "./http-exchange.ts";
import { createKey } from "./hub.ts";
import { type RawAnswer, RawConnection } from "./raw-connection.ts";
import { System } from "./system.ts";

const MAX_JSON_BYTES = 64 * 1024;
const MAX_UPLOAD_BYTES = 2 * 1024 * 1024;

/** The hub gives a client ten seconds for each 16 KiB of its body, and a little more to look. */
const SLOW_UPLOAD_MS = 20_000;

const CHAT = "/v1/chat/completions";
const GOOD = JSON.stringify(chatBody());

interface RawRequest {
  readonly method?: string;
  readonly path?: string;
  readonly key?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** A request as a client would write it; `headers` may say what is not true. */
function wire(request: RawRequest): Buffer {
  const { method = "POST", path = CHAT, key, body = "" } = request;
  const headers: Record<string, string> = {
    host: "hub",
    ...(key !== undefined && { authorization: `Bearer ${key}` }),
    ...(method === "POST" && { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) }),
    ...request.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`), Buffer.from(body)]);
}

/** Every answer to a bad request: the status, OpenAI's error object, and an id to ask the operator about. */
function assertError(answer: RawAnswer, status: number, code: string): Record<string, unknown> {
  assert.equal(answer.status, status, answer.body);
  assert.match(answer.headers["content-type"] ?? "", /^application\/json/);
  const { error } = JSON.parse(answer.body) as { error: Record<string, unknown> };
  assert.deepEqual(Object.keys(error).toSorted(), ["code", "message", "param", "type"]);
  assert.equal(error["code"], code);
  assert.ok(typeof error["message"] === "string" && error["message"].length > 10);
  assert.ok(typeof error["type"] === "string");
  assert.match(answer.headers["x-request-id"] ?? "", /^req_/, "no x-request-id");
  return error;
}

test("a bad request is answered in OpenAI's shape", async (t) => {
  await using system = await System.start(t, {
    hubEnv: {
      TOKILAKE_MAX_JSON_BYTES: String(MAX_JSON_BYTES),
      TOKILAKE_MAX_UPLOAD_BYTES: String(MAX_UPLOAD_BYTES),
    },
  });
  const { apiKey: key, engine, hub } = system;

  // Begun first and looked at last: waiting for it alone would take ten seconds.
  using slow = await RawConnection.open(hub.port);
  slow.write(wire({ key, headers: { "content-length": "1000" }, body: '{"model":' }));

  /** Sends on a new connection, checks the answer, and that the connection then serves a good request or said it closes. */
  const answersWell = async (request: RawRequest, check: (answer: RawAnswer) => void): Promise<void> => {
    using connection = await RawConnection.open(hub.port);
    connection.write(wire({ key, ...request }));
    const answer = await connection.answer();
    check(answer);
    if (answer.headers["connection"] === "close") {
      await connection.closed();
      return;
    }
    connection.write(wire({ key, body: GOOD }));
    assert.equal((await connection.answer()).status, 200);
  };

  /** Sends on a new connection, checks the answer, and that the hub then closes the connection. */
  const closes = async (bytes: string | Uint8Array, check: (answer: RawAnswer) => void): Promise<void> => {
    using connection = await RawConnection.open(hub.port);
    connection.write(bytes);
    check(await connection.answer());
    await connection.closed();
  };

  const bodies: readonly (readonly [what: string, body: string, status: number, code: string, param: string | null])[] =
    [
      ["a body that is not JSON", '{"model": "simulated", "messages": [}', 400, "invalid_json", null],
      ["a body that breaks off", '{"model": "simulated", "messages": [', 400, "invalid_json", null],
      ["an empty body", "", 400, "invalid_json", null],
      ["a body that is no object", '"simulated"', 400, "invalid_json", null],
      ["a missing model", '{"messages": []}', 400, "missing_required_parameter", "model"],
      ["an empty model", '{"model": "", "messages": []}', 400, "missing_required_parameter", "model"],
      ["a model that is no string", '{"model": 7, "messages": []}', 400, "invalid_request", "model"],
      [
        "a model only inside of another field",
        '{"metadata": {"model": "simulated"}}',
        400,
        "missing_required_parameter",
        "model",
      ],
      [
        "a stream that is neither true nor false",
        '{"model": "simulated", "stream": "yes"}',
        400,
        "invalid_request",
        "stream",
      ],
      ["a negative max_tokens", '{"model": "simulated", "max_tokens": -1}', 400, "invalid_request", "max_tokens"],
      [
        "a max_tokens beyond numbers",
        '{"model": "simulated", "max_tokens": 1e309}',
        400,
        "invalid_request",
        "max_tokens",
      ],
      ["an unknown model", '{"model": "no-such-model", "messages": []}', 404, "model_not_found", "model"],
    ];
  for (const [what, body, status, code, param] of bodies) {
    await t.test(`${what}: ${status} ${code}, and nothing reaches the engine`, async () => {
      const { asked } = engine.counts();

      await answersWell({ body }, (answer) => {
        assert.equal(assertError(answer, status, code)["param"], param);
        assert.equal(engine.counts().asked, asked);
      });
    });
  }

  const requests: readonly (readonly [what: string, request: RawRequest, status: number, code: string])[] = [
    ["an unknown route", { path: "/v1/no-such-route", body: GOOD }, 404, "unknown_url"],
    ["a path with dots", { path: "/v1/../v1/chat/completions", body: GOOD }, 404, "unknown_url"],
    ["an escaped slash", { path: "/v1/chat%2fcompletions", body: GOOD }, 404, "unknown_url"],
    ["a doubled slash", { path: "//v1/chat/completions", body: GOOD }, 404, "unknown_url"],
    ["an engine's own route", { path: "/api/pull", body: GOOD }, 404, "unknown_url"],
    ["the wrong method", { method: "GET" }, 405, "method_not_allowed"],
    ["a compressed body", { headers: { "content-encoding": "gzip" }, body: "\x1f\x8b" }, 415, "unsupported_media_type"],
    [
      "a form where JSON belongs",
      { headers: { "content-type": "multipart/form-data; boundary=x" }, body: GOOD },
      415,
      "unsupported_media_type",
    ],
    ["JSON where a form belongs", { path: "/v1/audio/transcriptions", body: GOOD }, 415, "unsupported_media_type"],
    ["no key", { key: undefined, body: GOOD }, 401, "invalid_api_key"],
    ["a key that was never made", { key: `sk-${"x".repeat(43)}`, body: GOOD }, 401, "invalid_api_key"],
    ["a worker's key", { key: system.workerKey, body: GOOD }, 401, "invalid_api_key"],
  ];
  for (const [what, request, status, code] of requests) {
    await t.test(`${what}: ${status} ${code}, and nothing reaches the engine`, async () => {
      const { asked } = engine.counts();
      using connection = await RawConnection.open(hub.port);

      connection.write(wire({ key, ...request }));
      const answer = await connection.answer();

      assertError(answer, status, code);
      assert.equal(engine.counts().asked, asked);
      if (status === 405) assert.match(answer.headers["allow"] ?? "", /POST/);
      if (status === 401) assert.match(answer.headers["www-authenticate"] ?? "", /^Bearer/);
    });
  }

  await t.test("a body that is announced too large is refused before it is sent", async () => {
    const announced = wire({ key, headers: { "content-length": String(MAX_JSON_BYTES + 1) } });

    await closes(announced, (answer) => assertError(answer, 413, "request_too_large"));
  });

  await t.test("a body of exactly the limit is served", async () => {
    const empty = JSON.stringify(chatBody({}, { user: "" }));
    const body = JSON.stringify(chatBody({}, { user: "x".repeat(MAX_JSON_BYTES - empty.length) }));
    using connection = await RawConnection.open(hub.port);

    connection.write(wire({ key, body }));

    assert.equal(body.length, MAX_JSON_BYTES);
    assert.equal((await connection.answer()).status, 200);
  });

  await t.test("a chunked body is refused when it grows too large", async () => {
    const chunk = `10000\r\n${" ".repeat(65_536)}\r\n`;
    const head = `POST ${CHAT} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n`;

    await closes(`${head}transfer-encoding: chunked\r\n\r\n${chunk}${chunk}`, (answer) => {
      assertError(answer, 413, "request_too_large");
    });
  });

  await t.test("an upload that grows too large is refused, and the engine's request is cancelled", async () => {
    const { cancelled } = engine.counts();
    const form =
      '--edge\r\ncontent-disposition: form-data; name="model"\r\n\r\nsimulated\r\n--edge\r\n' +
      'content-disposition: form-data; name="file"; filename="a"\r\n\r\n';
    const head =
      `POST /v1/audio/transcriptions HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${key}\r\n` +
      "content-type: multipart/form-data; boundary=edge\r\ntransfer-encoding: chunked\r\n\r\n";
    const chunk = `40000\r\n${"x".repeat(0x40000)}\r\n`;
    using connection = await RawConnection.open(hub.port);
    connection.write(`${head}${form.length.toString(16)}\r\n${form}\r\n${chunk.repeat(5)}`);
    await engine.waitFor((counts) => counts.active === 1);

    connection.write(chunk.repeat(4));

    assertError(await connection.answer(), 413, "request_too_large");
    await connection.closed();
    await engine.waitFor((counts) => counts.cancelled === cancelled + 1);
  });

  await t.test("a client that asks before it sends is told to go on, or that it need not", async () => {
    using polite = await RawConnection.open(hub.port);
    polite.write(wire({ key, headers: { expect: "100-continue", "content-length": String(GOOD.length) } }));
    await polite.until("HTTP/1.1 100 Continue\r\n\r\n");
    polite.write(GOOD);
    assert.equal((await polite.answer()).status, 100);
    assert.equal((await polite.answer()).status, 200);

    using refused = await RawConnection.open(hub.port);
    refused.write(wire({ key, headers: { expect: "100-continue", "content-length": "999999999" } }));
    assertError(await refused.answer(), 413, "request_too_large");
  });

  await t.test("two requests written at once are answered in turn", async () => {
    using connection = await RawConnection.open(hub.port);

    connection.write(Buffer.concat([wire({ key, body: "{}" }), wire({ key, body: GOOD })]));

    assertError(await connection.answer(), 400, "missing_required_parameter");
    assert.equal((await connection.answer()).status, 200);
  });

  await t.test("headers that are too large: 431, and the connection closes", async () => {
    await closes(wire({ key, headers: { "x-long": "x".repeat(70_000) }, body: GOOD }), (answer) => {
      assertError(answer, 431, "header_too_large");
    });
  });

  await t.test("what is not HTTP: 400, and the connection closes", async () => {
    await closes("\x16\x03\x01\x02\x00 hello\r\n\r\n", (answer) => assertError(answer, 400, "invalid_request"));
  });

  for (const [what, headers] of [
    ["a length beside chunks", { "content-length": "5", "transfer-encoding": "chunked" }],
    ["a length that is no number", { "content-length": "+5" }],
    ["a space before the colon", { "x-header ": "1" }],
  ] as const) {
    await t.test(`${what} could smuggle a request: 400, and nothing reaches the engine`, async () => {
      const { asked } = engine.counts();
      const smuggled = wire({ key, headers, body: `0\r\n\r\n${wire({ key, body: GOOD }).toString()}` });

      await closes(smuggled, (answer) => assertError(answer, 400, "invalid_request"));

      assert.equal(engine.counts().asked, asked);
    });
  }

  await t.test("a hundred thousand brackets neither stop nor break the hub", async () => {
    const deep = `{"model":"simulated","simulate":{},"messages":${"[".repeat(30_000)}${"]".repeat(30_000)}}`;

    const exchange = await HttpExchange.whole(system.access, { body: Buffer.from(deep) });

    assert.ok(exchange.status === 200 || exchange.status === 400, String(exchange.status));
    assert.equal((await HttpExchange.whole(system.access, { body: chatBody() })).status, 200);
  });

  await t.test("keys open no other door than their own", async () => {
    const upgrade = (token: string) =>
      wire({
        method: "GET",
        path: "/api/tokilake/connect",
        key: token,
        headers: {
          connection: "upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
          "sec-websocket-protocol": "tokilake.v2",
        },
      });
    for (const token of [key, "wk-wrong"]) {
      using connection = await RawConnection.open(hub.port);
      connection.write(upgrade(token));
      const { status } = await connection.answer();
      assert.ok(status === 401 || status === 403, `${status}`);
    }
    const right = upgrade(await createKey(system.dataDir, "worker", "right"));
    // A running hub notices a new key within a tenth of a second.
    await eventually("the new worker key opens the tunnel", async () => {
      using connection = await RawConnection.open(hub.port);
      connection.write(right);
      await connection.until("HTTP/1.1 ");
      return connection.received.startsWith("HTTP/1.1 101 ");
    });
  });

  await t.test("a body that comes too slowly: 408", async () => {
    assertError(await slow.answer(SLOW_UPLOAD_MS), 408, "request_timeout");
    await slow.closed();
  });
});

test("without a worker", async (t) => {
  await using system = await System.start(t, { worker: false });

  await t.test("a request is refused at once, and told when to come again", async () => {
    const exchange = await HttpExchange.whole(system.access, { body: chatBody() });

    assert.equal(exchange.status, 503);
    assert.match(exchange.headers["retry-after"] ?? "", /^\d+$/);
    assert.equal((exchange.json as { error: { code: string } }).error.code, "no_worker");
  });

  await t.test("the hub is alive, ready, and lists no models", async () => {
    const status = async (path: string) => (await fetch(`${system.hub.url}${path}`)).status;

    assert.deepEqual([await status("/healthz"), await status("/readyz"), await status("/metrics")], [200, 200, 200]);
    assert.deepEqual(await system.hub.models(system.apiKey), []);
  });
});
