import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { answerJson, beginEvents, bodyOf, delta, startTestHub, TEST_CONFIG, writeEvent } from "./test-hub.ts";

const CHAT = "/v1/chat/completions";

interface ApiError {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: string;
    readonly param: string | null;
  };
}

async function errorOf(response: Response): Promise<ApiError["error"]> {
  assert.ok(response.headers.get("x-request-id"));
  assert.equal(response.headers.get("content-type"), "application/json");
  return ((await response.json()) as ApiError).error;
}

/** Sends raw bytes; resolves with everything that came back until the connection closed. */
async function exchangeRaw(port: number, text: string | Uint8Array): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let answer = "";
  socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
  // A reset may follow the answer; what came before it is what counts.
  socket.on("error", () => {});
  socket.write(text);
  await once(socket, "close");
  return answer;
}

const BODIES: Readonly<Record<string, readonly [string, number, string, string | null]>> = {
  "that is empty": ["", 400, "invalid_json", null],
  "that is cut off": ['{"model":"m"', 400, "invalid_json", null],
  "with something behind it": ['{"model":"m"}}', 400, "invalid_json", null],
  "that is a list": ['["m"]', 400, "invalid_json", null],
  "without a model": ['{"messages":[]}', 400, "missing_required_parameter", "model"],
  "with an empty model": ['{"model":""}', 400, "missing_required_parameter", "model"],
  "whose model is a number": ['{"model":7}', 400, "invalid_request", "model"],
  "whose model has a line end": ['{"model":"m\\n"}', 400, "invalid_request", "model"],
  "whose model is too long": [JSON.stringify({ model: "x".repeat(257) }), 400, "invalid_request", "model"],
  "with two models": ['{"model":"m","model":"n"}', 400, "invalid_json", null],
  "whose stream is a string": ['{"model":"m","stream":"true"}', 400, "invalid_request", "stream"],
  "whose stream_options is a list": [
    '{"model":"m","stream":true,"stream_options":[]}',
    400,
    "invalid_request",
    "stream_options",
  ],
  "whose max_tokens is negative": ['{"model":"m","max_tokens":-1}', 400, "invalid_request", "max_tokens"],
  "whose max_tokens is endless": ['{"model":"m","max_tokens":1e309}', 400, "invalid_request", "max_tokens"],
  "that asks for an unknown model": ['{"model":"unknown"}', 404, "model_not_found", "model"],
};

test("a body that cannot be served is refused with what is wrong with it", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => answerJson(stream, {}));

  for (const [name, [body, status, code, param]] of Object.entries(BODIES)) {
    const response = await hub.post(CHAT, body);
    const error = await errorOf(response);
    assert.deepEqual([response.status, error.code, error.param], [status, code, param], `a body ${name}`);
    const record = await hub.requests.next();
    assert.deepEqual([record.outcome, record.status, record.errorCode], ["refused", status, code], `a body ${name}`);
  }
});

test("without a worker the client is told to come back", async () => {
  await using hub = await startTestHub();

  const response = await hub.post(CHAT, { model: "m" });

  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "5");
  assert.equal((await errorOf(response)).code, "no_worker");
});

test("a model whose worker left is offline, not unknown", async () => {
  await using hub = await startTestHub();
  const worker = await hub.connect(() => {}, { name: "a", models: ["gone"] });
  await hub.connect(() => {}, { name: "b" });
  await worker.drain({ graceMs: 1_000 });

  const response = await hub.post(CHAT, { model: "gone" });

  assert.equal(response.status, 503);
  assert.match((await errorOf(response)).message, /"gone" is online/);
});

test("a model that does not serve the route is told so", async () => {
  await using hub = await startTestHub();
  await hub.connect(() => {}, { routes: ["POST /v1/embeddings"] });

  const response = await hub.post(CHAT, { model: "m" });

  assert.equal(response.status, 400);
  assert.equal((await errorOf(response)).message, 'The model "m" does not serve /v1/chat/completions.');
});

test("a wrong key, a worker key, a revoked one and none are each refused with 401", async () => {
  await using hub = await startTestHub();
  hub.keys.revoke("sk-old");
  const messages: Record<string, string> = {};

  for (const authorization of ["Bearer nonsense", "Bearer wk-worker", "Bearer sk-old", "Basic x", "bearer "]) {
    const response = await hub.post(CHAT, { model: "m" }, { headers: { authorization } });
    assert.equal(response.status, 401);
    const error = await errorOf(response);
    assert.equal(error.code, "invalid_api_key");
    messages[authorization] = error.message;
  }

  assert.equal(messages["Bearer nonsense"], "Incorrect API key provided.");
  assert.match(messages["Bearer wk-worker"] ?? "", /worker key/);
  assert.match(messages["Bearer sk-old"] ?? "", /revoked/);
  assert.match(messages["Basic x"] ?? "", /did not provide/);
});

test("a body over the limit is refused: at once when it says so, else at the limit", async () => {
  const limits = { ...TEST_CONFIG.limits, maxJsonBytes: 1_000, maxUploadBytes: 1_000 };
  await using hub = await startTestHub({ limits });
  const body = JSON.stringify({ model: "m", input: "x".repeat(1_000) });
  const head = `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\ncontent-type: application/json\r\n`;

  const declared = await hub.post(CHAT, body);
  const chunked = await exchangeRaw(
    hub.port,
    `${head}transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
  );
  const unsent = await exchangeRaw(hub.port, `${head}content-length: 5000\r\n\r\n`);

  assert.equal(declared.status, 413);
  assert.equal((await errorOf(declared)).code, "request_too_large");
  assert.match(chunked, /^HTTP\/1\.1 413 /);
  assert.match(unsent, /^HTTP\/1\.1 413 [^]*connection: close[^]*"request_too_large"/i);
});

test("bodies that would take more memory than all may are refused, and what ended takes none", async () => {
  const limits = { ...TEST_CONFIG.limits, maxBodyMemoryBytes: 10_000 };
  await using hub = await startTestHub({ limits });
  const waiting = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  await hub.connect(async (stream) => {
    asked.resolve();
    await waiting.promise;
    answerJson(stream, { choices: [] });
  });
  const body = { model: "m", input: "x".repeat(7_000) };

  const first = hub.post(CHAT, body);
  await asked.promise;
  const refused = await hub.post(CHAT, body);
  waiting.resolve();
  const answered = await first;
  await answered.text();
  const later = await hub.post(CHAT, body);

  assert.deepEqual([refused.status, refused.headers.get("retry-after")], [503, "1"]);
  assert.match(await refused.text(), /"overloaded"/);
  assert.deepEqual([answered.status, later.status], [200, 200]);
});

test("a refused client that goes on sending still reads its answer, even when it reads late", async () => {
  await using hub = await startTestHub();
  const socket = connect(hub.port, "127.0.0.1");
  let failure: unknown;
  socket.on("error", (error) => (failure = error));
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.write(
    `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n` +
      "content-type: application/json\r\ncontent-length: 900000\r\n\r\n",
  );
  const piece = Buffer.alloc(100_000, 0x20);
  // A piece a turn: the answer is there before the last of them, and a connection that was reset fails a write.
  for (let sent = 0; sent < 9; sent += 1) {
    socket.write(piece);
    await sleep(10);
  }
  let answer = "";
  socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  await closed;

  assert.equal(failure, undefined);
  assert.match(answer, /^HTTP\/1\.1 401 [^]*"invalid_api_key"/);
});

test("Expect: 100-continue is answered only after the checks that need no body", async () => {
  await using hub = await startTestHub();
  await hub.connect(async (stream) => answerJson(stream, { length: (await bodyOf(stream)).length }));
  const head = (key: string): string =>
    `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n` +
    "content-length: 13\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";

  const refused = await exchangeRaw(hub.port, head("wrong"));
  const socket = connect(hub.port, "127.0.0.1");
  socket.write(head("sk-test"));
  const [first] = (await once(socket, "data")) as [Buffer];
  socket.write('{"model":"m"}');
  let rest = "";
  socket.on("data", (chunk: Buffer) => (rest += chunk.toString()));
  await once(socket, "close");

  assert.match(refused, /^HTTP\/1\.1 401 /);
  assert.equal(first.toString(), "HTTP/1.1 100 Continue\r\n\r\n");
  assert.match(rest, /^HTTP\/1\.1 200 [^]*\{"length":13\}$/);
});

test("unknown routes, wrong methods and odd paths are told what there is, and reach no worker", async () => {
  await using hub = await startTestHub();
  let asked = 0;
  await hub.connect(() => void (asked += 1));

  const unknown = await hub.post("/v1/chat/completion", { model: "m" });
  const wrong = await fetch(`${hub.url}/v1/chat/completions`);
  const odd = [
    "/v1/../api/pull",
    "/v1/%2e%2e/api/pull",
    "//v1/models",
    "/v1/chat/completions/",
    "http://169.254.169.254/",
  ];

  assert.equal(unknown.status, 404);
  const error = await errorOf(unknown);
  assert.equal(error.code, "unknown_url");
  assert.match(error.message, /\/v1\/chat\/completions/);
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get("allow"), "POST, OPTIONS");
  for (const path of odd) {
    const answer = await exchangeRaw(
      hub.port,
      `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 404 /, path);
  }
  assert.equal(asked, 0);
});

const UPGRADE =
  "host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
const WORKER = "authorization: Bearer wk-a\r\n";

for (const [what, path, headers, status, code] of [
  ["to a wrong path", "/v1/realtimes", "sec-websocket-version: 13\r\n", 404, "unknown_url"],
  [
    "with a subprotocol twice",
    "/v1/realtime?model=m",
    "sec-websocket-version: 13\r\nsec-websocket-protocol: a, a\r\n",
    400,
    "invalid_request",
  ],
  [
    "of a worker without a key",
    "/api/tokilake/connect",
    "sec-websocket-version: 13\r\nsec-websocket-protocol: tokilake.v2\r\n",
    401,
    "no-key",
  ],
  [
    "of a worker with a subprotocol twice",
    "/api/tokilake/connect",
    `${WORKER}sec-websocket-version: 13\r\nsec-websocket-protocol: tokilake.v2, tokilake.v2\r\n`,
    400,
    "bad-handshake",
  ],
  [
    "of a worker in another version",
    "/api/tokilake/connect",
    `${WORKER}sec-websocket-version: 7\r\nsec-websocket-protocol: tokilake.v2\r\n`,
    400,
    "bad-handshake",
  ],
] as const) {
  test(`an upgrade ${what} is refused in the API's shape, with an id`, async () => {
    await using hub = await startTestHub();

    const answer = await exchangeRaw(hub.port, `GET ${path} HTTP/1.1\r\n${UPGRADE}${headers}\r\n`);

    const [head = "", body = ""] = answer.split("\r\n\r\n");
    assert.ok(head.startsWith(`HTTP/1.1 ${status} `), head);
    assert.match(head, /^content-type: application\/json$/im);
    assert.match(head, /^x-request-id: req_[0-9a-f]{32}$/im);
    assert.match(head, /^x-content-type-options: nosniff$/im);
    assert.equal((JSON.parse(body) as { error: { code: string } }).error.code, code);
  });
}

for (const path of ["/v1/realtime?model=m", "/api/tokilake/connect", "/v1/x"]) {
  test(`an upgrade to ${path} behind a request that is not answered is passed over`, async () => {
    await using hub = await startTestHub();
    const first = "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";

    const answers = await exchangeRaw(
      hub.port,
      `${first}GET ${path} HTTP/1.1\r\n${UPGRADE}sec-websocket-version: 13\r\n\r\n`,
    );

    assert.match(answers, /^HTTP\/1\.1 401 [^]*HTTP\/1\.1 40[04] [^]*connection: close/i);
  });
}

test("headers that are too large get 431, and bytes that are no HTTP get 400, both as JSON", async () => {
  await using hub = await startTestHub();

  const large = await exchangeRaw(
    hub.port,
    `GET /v1/models HTTP/1.1\r\nhost: x\r\nx-big: ${"a".repeat(20_000)}\r\n\r\n`,
  );
  const nonsense = await exchangeRaw(hub.port, "\u0016\u0003\u0001 hello\r\n\r\n");

  assert.match(large, /^HTTP\/1\.1 431 Request Header Fields Too Large[^]*"header_too_large"/);
  assert.match(nonsense, /^HTTP\/1\.1 400 [^]*"invalid_request"/);
});

test("an offer of another protocol, or an expectation that nobody knows, is passed over: the request is served as it is", async () => {
  await using hub = await startTestHub();
  await hub.connect(async (stream) => answerJson(stream, { length: (await bodyOf(stream)).length }));
  const body = '{"model":"m"}';
  const request = `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\ncontent-length: ${body.length}\r\n`;

  // What java.net.http.HttpClient sends over plain TCP.
  const offer = "connection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n\r\n";
  const upgraded = await exchangeRaw(hub.port, request + offer + body);
  const expected = await exchangeRaw(hub.port, `${request}expect: miracles\r\nconnection: close\r\n\r\n${body}`);

  assert.match(upgraded, /^HTTP\/1\.1 200 [^]*\{"length":13\}/);
  assert.match(expected, /^HTTP\/1\.1 200 [^]*\{"length":13\}/);
});

test("an address with scheme and host is the same as its path, when the host is the one that was asked", async () => {
  await using hub = await startTestHub();
  const ask = async (url: string): Promise<string | undefined> => {
    const lines = `GET ${url} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\nconnection: close\r\n\r\n`;
    return (await exchangeRaw(hub.port, lines)).split("\r\n", 1)[0];
  };

  assert.equal(await ask("http://x/v1/models?a=b"), "HTTP/1.1 200 OK");
  assert.equal(await ask("HTTPS://x/healthz"), "HTTP/1.1 200 OK");
  assert.equal(await ask("http://x"), await ask("/"));
  assert.equal(await ask("http://169.254.169.254/healthz"), "HTTP/1.1 404 Not Found");
  assert.equal(await ask("ftp://x/healthz"), "HTTP/1.1 404 Not Found");
});

test("a request without a Host header is refused in the API's shape", async () => {
  await using hub = await startTestHub();

  const hostless = await exchangeRaw(hub.port, "GET /v1/models HTTP/1.1\r\nauthorization: Bearer sk-test\r\n\r\n");

  assert.match(hostless, /^HTTP\/1\.1 400 [^]*x-request-id: req_[^]*"invalid_request"/);
});

test("bytes that are no HTTP behind a running stream cut it, and are not answered into its middle", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
  });
  const body = '{"model":"m","stream":true}';
  const socket = connect(hub.port, "127.0.0.1");
  socket.on("error", () => {});
  let answer = "";
  socket.write(
    `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  const first = Promise.withResolvers<void>();
  socket.on("data", (chunk: Buffer) => {
    answer += chunk.toString();
    if (answer.includes("data: ")) first.resolve();
  });

  await first.promise;
  socket.write("\u0016\u0003\u0001 nonsense\r\n\r\n");
  await once(socket, "close");

  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(answer, /HTTP\/1\.1 400/);
});

const SMUGGLED: Readonly<Record<string, string>> = {
  "two lengths": "content-length: 3\r\ncontent-length: 4\r\n\r\nabc",
  "a length and chunks": "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
  "a signed length": "content-length: +3\r\n\r\nabc",
  "a space before the colon": "content-length : 3\r\n\r\nabc",
  "a folded header": "x-a: b\r\n c\r\ncontent-length: 3\r\n\r\nabc",
  "an odd coding": "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
};

for (const [name, rest] of Object.entries(SMUGGLED)) {
  test(`a request with ${name} is refused and its connection closed`, async () => {
    await using hub = await startTestHub();

    const answer = await exchangeRaw(
      hub.port,
      `POST ${CHAT} HTTP/1.1\r\nhost: x\r\n${rest}GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n`,
    );

    assert.match(answer, /^HTTP\/1\.1 4\d\d /);
    assert.doesNotMatch(answer, /HTTP\/1\.1 200/);
  });
}

test("an encoded body and one of a foreign type get 415", async () => {
  await using hub = await startTestHub();

  const encoded = await hub.post(CHAT, "x", { headers: { "content-encoding": "gzip" } });
  const foreign = await hub.post(CHAT, "x", { headers: { "content-type": "audio/mpeg" } });
  const form = await hub.post("/v1/audio/transcriptions", "{}");

  assert.deepEqual([encoded.status, foreign.status, form.status], [415, 415, 415]);
  assert.match((await errorOf(form)).message, /takes multipart\/form-data/);
});

test("JSON that curl -d calls a form is taken as JSON, and the worker is told so", async () => {
  await using hub = await startTestHub();
  let contentType: string | undefined;
  await hub.connect((stream) => {
    contentType = new Map(stream.opening.headers).get("content-type");
    answerJson(stream, { ok: true });
  });

  const response = await hub.post(
    CHAT,
    { model: "m" },
    { headers: { "content-type": "application/x-www-form-urlencoded" } },
  );

  assert.equal(response.status, 200);
  assert.equal(contentType, "application/json");
});

test("the worker sees neither the client's key nor its cookies, the client no header that could harm it", async () => {
  await using hub = await startTestHub();
  let seen: string[] = [];
  await hub.connect((stream) => {
    seen = stream.opening.headers.map(([name]) => name);
    const headers = [
      ["content-type", "application/json"],
      ["set-cookie", "a=b"],
      ["location", "http://evil"],
      ["strict-transport-security", "max-age=1"],
      ["x-tokilake-worker", "somebody else"],
      ["x-request-id", "theirs"],
      ["openai-processing-ms", "5"],
    ] as const;
    stream.respond({ status: 200, headers });
    stream.write(Buffer.from("{}"));
    stream.end();
  });

  const response = await hub.post(
    CHAT,
    { model: "m" },
    { headers: { cookie: "a=b", "x-forwarded-for": "1.1.1.1", "openai-beta": "x" } },
  );

  assert.deepEqual(
    seen.filter((name) => name !== "accept" && name !== "user-agent"),
    ["content-type", "x-request-id", "openai-beta"],
  );
  assert.deepEqual(
    ["set-cookie", "location", "strict-transport-security"].map((name) => response.headers.get(name)),
    [null, null, null],
  );
  assert.equal(response.headers.get("openai-processing-ms"), "5");
  assert.equal(response.headers.get("x-tokilake-worker"), "worker-1");
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
});

test("a browser's preflight and its call are answered for any origin, without credentials", async () => {
  await using hub = await startTestHub();
  const headers = { origin: "https://app.example", "access-control-request-headers": "authorization,x-stainless-os" };

  const preflight = await fetch(hub.url + CHAT, { method: "OPTIONS", headers });
  const call = await hub.post(CHAT, { model: "m" }, { headers: { origin: "https://app.example" } });

  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get("access-control-allow-headers"), "authorization,x-stainless-os");
  assert.equal(preflight.headers.get("access-control-allow-credentials"), null);
  assert.equal(call.headers.get("access-control-allow-origin"), "*");
});
