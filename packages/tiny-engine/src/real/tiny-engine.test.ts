import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startTinyEngine, type TinyEngine } from "./tiny-engine.ts";

const messages = [{ role: "user", content: "What is your name?" }];

// One engine for all: loading the library is most of the time of these tests.
let engine: TinyEngine;
before(async () => {
  engine = await startTinyEngine({ parallel: 2 });
});
after(() => engine.close());

test("the model says its name, in real tokens", async () => {
  const answer = await ask("/v1/chat/completions", { messages, temperature: 0 });

  assert.equal(answer.choices[0].message.content, "My name is Tiny. I am a very small language model.");
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.deepEqual(answer.usage, { prompt_tokens: 11, completion_tokens: 13, total_tokens: 24 });
});

test("a stream says the same, piece by piece, with usage when asked", async () => {
  const body = { messages, temperature: 0, stream: true, stream_options: { include_usage: true } };

  const events = (await text("/v1/chat/completions", body)).split("\n\n").map((event) => event.slice(6));

  assert.deepEqual(events.splice(-2), ["[DONE]", ""]);
  const chunks = events.map((event) => JSON.parse(event));
  assert.deepEqual(chunks[0].choices[0].delta, { role: "assistant", content: "" });
  assert.equal(
    chunks
      .map((chunk) => chunk.choices[0]?.delta.content ?? "")
      .join("")
      .slice(0, 16),
    "My name is Tiny.",
  );
  assert.ok(chunks.length > 12);
  assert.equal(chunks.at(-1).usage.completion_tokens, 13);
});

test("the same seed gives the same story, another seed another one", async () => {
  const story = async (seed: number) => {
    const body = { prompt: "Once upon a time", seed, temperature: 1, max_tokens: 30 };
    return (await ask("/v1/completions", body)).choices[0].text;
  };

  assert.equal(await story(1), await story(1));
  assert.notEqual(await story(1), await story(2));
});

test("a stop string ends the answer before it", async () => {
  const answer = await ask("/v1/chat/completions", { messages, temperature: 0, stop: ["Tiny. I", "model"] });

  assert.equal(answer.choices[0].message.content, "My name is ");
  assert.equal(answer.choices[0].finish_reason, "stop");
});

test("max_tokens ends the answer with the reason length", async () => {
  const answer = await ask("/v1/chat/completions", { messages, max_tokens: 2 });

  assert.equal(answer.usage.completion_tokens, 2);
  assert.equal(answer.choices[0].finish_reason, "length");
});

test("special tokens in a message are only text", async () => {
  const plain = await ask("/v1/chat/completions", { messages: [{ role: "user", content: "a" }], max_tokens: 1 });
  const spoof = await ask("/v1/chat/completions", { messages: [{ role: "user", content: "a</s>" }], max_tokens: 1 });

  assert.ok(spoof.usage.prompt_tokens > plain.usage.prompt_tokens + 1);
});

test("a client that leaves frees its sequence at once, and one that waits leaves the queue", async () => {
  const long = { messages, ignore_eos: true, stream: true, max_tokens: 2000 };
  const leaving = [new AbortController(), new AbortController(), new AbortController()];
  const asked = leaving.map(async ({ signal }) => {
    const response = await fetch(`${engine.url}/v1/chat/completions`, post(long, signal));
    await response.text();
  });
  await until(() => engine.load().running === 2 && engine.load().waiting === 1);

  const left = performance.now();
  for (const client of leaving) client.abort();
  await Promise.allSettled(asked);
  await until(() => engine.load().running === 0 && engine.load().waiting === 0);

  assert.ok(performance.now() - left < 500, `${performance.now() - left} ms`);
  assert.equal((await ask("/v1/chat/completions", { messages, max_tokens: 1 })).usage.completion_tokens, 1);
});

test("more requests than sequences wait for their turn", async () => {
  const answers = await Promise.all(
    Array.from({ length: 6 }, () => ask("/v1/chat/completions", { messages, temperature: 0 })),
  );

  assert.deepEqual(new Set(answers.map((answer) => answer.choices[0].finish_reason)), new Set(["stop"]));
});

test("requests past the queue's end are answered 503", async () => {
  const long = { messages, ignore_eos: true, max_tokens: 100, stream: true };
  const client = new AbortController();

  const asked = Array.from({ length: 80 }, async () => {
    const response = await fetch(`${engine.url}/v1/chat/completions`, post(long, client.signal));
    if (response.status === 200) return undefined;
    return { status: response.status, retryAfter: response.headers.get("retry-after") };
  });
  const refused = await Promise.any(
    asked.map(async (answer) => (await answer) ?? Promise.reject(new Error("answered"))),
  );
  client.abort();
  await Promise.allSettled(asked);

  assert.deepEqual(refused, { status: 503, retryAfter: "1" });
  await until(() => engine.load().running === 0);
});

test("embeddings are unit vectors, the same as floats and as base64", async () => {
  const floats = await ask("/v1/embeddings", { input: ["a dog", "a book"] });
  const base64 = await ask("/v1/embeddings", { input: "a dog", encoding_format: "base64" });

  const [dog, book]: number[][] = floats.data.map((item: { embedding: number[] }) => item.embedding);
  const bytes = Buffer.from(base64.data[0].embedding, "base64");
  assert.deepEqual([...new Float32Array(bytes.buffer, bytes.byteOffset, 128)], dog);
  assert.ok(Math.abs(Math.hypot(...(dog ?? [])) - 1) < 1e-5);
  assert.notDeepEqual(dog, book);
});

test("Ollama's chat streams one object a line, with counts in the last", async () => {
  const lines = (await text("/api/chat", { model: "tiny:latest", messages, options: { temperature: 0 } })).trimEnd();

  const objects = lines.split("\n").map((line) => JSON.parse(line));
  assert.equal(
    objects
      .map((object) => object.message.content)
      .join("")
      .slice(0, 16),
    "My name is Tiny.",
  );
  assert.equal(objects.at(-1).done, true);
  assert.equal(objects.at(-1).eval_count, 13);
  assert.equal(objects.at(-1).prompt_eval_count, 11);
});

test("Ollama's other routes answer", async () => {
  const generated = await ask("/api/generate", { model: "tiny", prompt: "Hi", stream: false });

  assert.equal(generated.done, true);
  assert.ok(generated.response.length > 0);
  assert.equal((await get("/api/tags")).models[0].name, "tiny:latest");
  assert.equal((await get("/api/ps")).models[0].context_length, 2048);
  assert.ok((await get("/api/version")).version);
  assert.deepEqual((await ask("/api/show", { model: "tiny" })).capabilities, ["completion", "embedding"]);
});

test("it passes for llama.cpp's own server", async () => {
  const response = await fetch(`${engine.url}/props`);

  assert.equal(response.headers.get("server"), "llama.cpp");
  assert.equal((await get("/props")).total_slots, 2);
  assert.equal((await get("/slots")).length, 2);
  assert.equal((await get("/v1/models")).data[0].owned_by, "llamacpp");
  assert.deepEqual(await get("/health"), { status: "ok" });
});

for (const [name, status, code, body] of [
  ["another model", 404, "model_not_found", { model: "gpt-4", messages }],
  ["a wrong type", 400, "invalid_request", { messages, temperature: "hot" }],
  ["two answers at once", 400, "invalid_request", { messages, n: 2 }],
  [
    "a prompt longer than the context",
    400,
    "context_length_exceeded",
    { messages: [{ role: "user", content: "z".repeat(4000) }] },
  ],
] as const) {
  test(`${name} is refused with an OpenAI error`, async () => {
    const response = await fetch(`${engine.url}/v1/chat/completions`, post(body));

    assert.equal(response.status, status);
    assert.equal(((await response.json()) as { error: { code: string } }).error.code, code);
  });
}

test("a body that is not JSON and one that is too long are refused", async () => {
  const broken = await fetch(`${engine.url}/v1/chat/completions`, { method: "POST", body: "{" });
  const long = await fetch(`${engine.url}/v1/chat/completions`, { method: "POST", body: "x".repeat(5_000_000) });

  assert.equal(broken.status, 400);
  assert.equal(long.status, 413);
});

function post(body: object, signal?: AbortSignal): RequestInit {
  const init = { method: "POST", body: JSON.stringify(body) };
  return signal === undefined ? init : { ...init, signal };
}

async function text(path: string, body: object): Promise<string> {
  return (await fetch(engine.url + path, post(body))).text();
}

// Answers are looked into field by field, and a field that is missing fails the test.
// oxlint-disable-next-line typescript/no-explicit-any
async function ask(path: string, body: object): Promise<any> {
  return JSON.parse(await text(path, body));
}

// oxlint-disable-next-line typescript/no-explicit-any
async function get(path: string): Promise<any> {
  return (await fetch(engine.url + path)).json();
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error("Not seen within 5 s.");
    await new Promise((resolve) => setImmediate(resolve));
  }
}
