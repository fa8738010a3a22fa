import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { chatBody, type ExchangeOptions, HttpExchange } from "./http-exchange.ts";
import { type Access, System } from "./system.ts";

const NAMED = "org/team/model-7b:q4";

const FORM = Buffer.from(
  '--edge\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n' +
    "\x89PNG not really\r\n" +
    '--edge\r\ncontent-disposition: form-data; name="model"\r\n\r\nsimulated\r\n--edge--\r\n',
  "latin1",
);
const FORM_HEADERS = { "content-type": "multipart/form-data; boundary=edge" };

/** Every relay route, in every shape it has. */
const SHAPES: Readonly<Record<string, ExchangeOptions>> = {
  "a chat": { path: "/chat/completions", body: chatBody() },
  "a chat with its usage, streamed": {
    path: "/chat/completions",
    body: chatBody({}, { stream: true, stream_options: { include_usage: true } }),
  },
  "a chat of odd events, streamed": {
    path: "/chat/completions",
    body: chatBody({ oddSse: true }, { stream: true, stream_options: { include_usage: true } }),
  },
  "a chat of single bytes, streamed": {
    path: "/chat/completions",
    body: chatBody({ byteAtATime: true, oddSse: true }, { stream: true, stream_options: { include_usage: true } }),
  },
  "a completion": { path: "/completions", body: { model: "simulated", prompt: "Tell me." } },
  "a completion, streamed": {
    path: "/completions",
    body: { model: "simulated", prompt: "Tell me.", stream: true, stream_options: { include_usage: true } },
  },
  "a response": { path: "/responses", body: { model: "simulated", input: "Tell me." } },
  "a response, streamed": { path: "/responses", body: { model: "simulated", input: "Tell me.", stream: true } },
  "a response of odd events, streamed": {
    path: "/responses",
    body: { model: "simulated", input: "Tell me.", stream: true, simulate: { oddSse: true } },
  },
  embeddings: { path: "/embeddings", body: { model: "simulated", input: ["a", "b"] } },
  "embeddings of half a megabyte": {
    path: "/embeddings",
    body: { model: "simulated", input: Array.from({ length: 200 }, (_, index) => `text ${index}`), dimensions: 256 },
  },
  "a ranking": { path: "/rerank", body: { model: "simulated", query: "a boat", documents: ["a boat", "the sea"] } },
  "a moderation": { path: "/moderations", body: { model: "simulated", input: "a" } },
  "a generated image": { path: "/images/generations", body: { model: "simulated", prompt: "a boat", n: 3 } },
  "an edited image, as a form": { path: "/images/edits", body: FORM, headers: FORM_HEADERS },
  "an edited image, as JSON": { path: "/images/edits", body: { model: "simulated", prompt: "a boat" } },
  "a varied image, as a form": { path: "/images/variations", body: FORM, headers: FORM_HEADERS },
  speech: { path: "/audio/speech", body: { model: "simulated", input: "Hello", voice: "alloy" } },
  "a transcription": { path: "/audio/transcriptions", body: FORM, headers: FORM_HEADERS },
  "a translation": { path: "/audio/translations", body: FORM, headers: FORM_HEADERS },
};

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

test("every route", async (t) => {
  await using system = await System.start(t);
  const { access, engine } = system;
  const straight: Access = { baseURL: `${engine.url}/v1`, apiKey: "none" };

  for (const [what, options] of Object.entries(SHAPES)) {
    await t.test(`${what}: both bodies pass byte for byte`, async () => {
      const direct = await HttpExchange.whole(straight, options);

      const relayed = await HttpExchange.whole(access, options);

      assert.equal(relayed.status, 200, relayed.text.slice(0, 500));
      assert.equal(await relayed.ended, "clean");
      assert.equal(sha256(relayed.bytes), sha256(direct.bytes));
      assert.equal(relayed.headers["content-type"], direct.headers["content-type"]);
      const [one, other] = engine.requests.slice(-2);
      assert.equal(other?.url, one?.url);
      assert.equal(other?.bodySha256, one?.bodySha256);
    });
  }

  for (const simulate of [{}, { oddSse: true }, { byteAtATime: true }]) {
    const which = JSON.stringify(simulate);
    await t.test(`a stream whose usage the client did not ask for is as without it: ${which}`, async () => {
      const body = chatBody(simulate, { stream: true });
      const direct = await HttpExchange.whole(straight, { body });

      const relayed = await HttpExchange.whole(access, { body });

      assert.equal(relayed.text, direct.text);
      assert.match(engine.requests.at(-1)?.bodyText ?? "", /"include_usage":true/);
    });
  }

  await t.test("a body of unusual JSON reaches the engine unchanged", async () => {
    const body = Buffer.from(
      '\r\n\t{ "messages" :[{"role":"user","content":"\\u00e9\\ud83d\\ude00 \xff\xfe \\/ \xc3\xa9"}],' +
        ' "seed": 12345678901234567890, "temperature": 0.10, "unknown_field": {"model": "no", "a": [1e2, -0]},' +
        ' "model" : "simul\\u0061ted" , "unknown_field": null }\n',
      "latin1",
    );

    const exchange = await HttpExchange.whole(access, { body });

    assert.equal(exchange.status, 200);
    assert.equal(engine.requests.at(-1)?.bodySha256, sha256(body));
  });

  await t.test("only headers of the list go to the engine, and only such come back", async () => {
    const exchange = await HttpExchange.whole(access, {
      body: chatBody(),
      headers: {
        "x-forwarded-for": "10.0.0.1",
        "x-simulate": '{"status":500}',
        cookie: "session=1",
        "openai-beta": "assistants=v2",
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      },
    });

    const received = engine.requests.at(-1)?.headers ?? {};
    for (const name of ["authorization", "cookie", "x-forwarded-for", "x-simulate"])
      assert.ok(!(name in received), name);
    assert.equal(received["openai-beta"], "assistants=v2");
    assert.equal(received["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert.equal(exchange.status, 200);
    assert.match(String(exchange.headers["x-request-id"]), /^req_/);
    assert.equal(exchange.headers["x-tokilake-worker"], "worker-a");
    assert.match(String(exchange.headers["server-timing"]), /\w/);
  });
});

test("names of models", async (t) => {
  await using system = await System.start(t, { models: ["simulated", NAMED] });
  const { access, engine } = system;

  await t.test("may have slashes and colons", async () => {
    const answer = await HttpExchange.whole(access, { body: chatBody({}, { model: NAMED }) });
    const escaped = await HttpExchange.whole(access, { method: "GET", path: `/models/${encodeURIComponent(NAMED)}` });
    const plain = await HttpExchange.whole(access, { method: "GET", path: `/models/${NAMED}` });

    assert.equal(answer.status, 200);
    assert.equal(engine.requests.at(-1)?.model, NAMED);
    for (const described of [escaped, plain]) {
      assert.equal(described.status, 200);
      assert.equal((described.json as { id: string }).id, NAMED);
    }
  });

  await t.test("may be the owner's own: the engine is asked by its name, in JSON and in forms", async () => {
    const models = { "my-model": { url: engine.url, mapped_name: "simulated" } };
    await system.addWorker("worker-b", { models });
    await system.listing("my-model");
    const form = FORM.toString("latin1").replace("\r\nsimulated\r\n", "\r\nmy-model\r\n");

    const whole = await HttpExchange.whole(access, { body: chatBody({}, { model: "my-model" }) });
    const wholeRequest = engine.requests.at(-1);
    const streamed = await HttpExchange.whole(access, { body: chatBody({}, { model: "my-model", stream: true }) });
    const streamedRequest = engine.requests.at(-1);
    const uploaded = await HttpExchange.whole(access, {
      path: "/audio/transcriptions",
      body: Buffer.from(form, "latin1"),
      headers: FORM_HEADERS,
    });
    const uploadedRequest = engine.requests.at(-1);

    assert.deepEqual([whole.status, streamed.status, uploaded.status], [200, 200, 200]);
    for (const asked of [wholeRequest, streamedRequest, uploadedRequest]) assert.equal(asked?.model, "simulated");
    assert.equal(uploadedRequest?.bodySha256, sha256(FORM));
  });
});
