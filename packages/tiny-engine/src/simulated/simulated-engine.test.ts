import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import { test } from "node:test";

import type { Behaviour } from "./behaviour.ts";
import { RawClient } from "./raw-client.ts";
import { type SimulatedEngine, startSimulatedEngine } from "./simulated-engine.ts";

const CHAT = "/v1/chat/completions";

test("a stream has the role, the tokens, the end, the usage when asked, and [DONE]", async () => {
  await using engine = await startSimulatedEngine();

  const text = await post(engine, CHAT, { stream: true, stream_options: { include_usage: true } }, { tokens: 2 });

  const events = dataOf(text);
  assert.equal(events.pop(), "[DONE]");
  const chunks = events.map((event) => JSON.parse(event));
  assert.deepEqual(
    chunks.map((chunk) => chunk.choices[0]?.delta),
    [{ role: "assistant", content: "" }, { content: "token-0" }, { content: " token-1" }, {}, undefined],
  );
  assert.equal(chunks[3].choices[0].finish_reason, "stop");
  assert.equal(chunks[4].usage.completion_tokens, 2);
  assert.deepEqual(chunks[4].choices, []);
});

test("usage counts a quarter of the body's bytes, rounded up, and the tokens", async () => {
  await using engine = await startSimulatedEngine();
  const body = { model: "m", simulate: { tokens: 7 } };

  const answer = JSON.parse(await post(engine, CHAT, body));

  const input = Math.ceil(JSON.stringify(body).length / 4);
  assert.deepEqual(answer.usage, { prompt_tokens: input, completion_tokens: 7, total_tokens: input + 7 });
});

test("a stream that was not asked for usage has none", async () => {
  await using engine = await startSimulatedEngine();

  assert.ok(!(await post(engine, CHAT, { stream: true })).includes("usage"));
});

test("max_tokens shortens the answer and says so", async () => {
  await using engine = await startSimulatedEngine();

  const answer = JSON.parse(await post(engine, CHAT, { max_tokens: 3 }, { tokens: 10 }));

  assert.equal(answer.choices[0].message.content, "token-0 token-1 token-2");
  assert.equal(answer.choices[0].finish_reason, "length");
});

test("an answer that is cut ends the connection cleanly, without the end of the body", async () => {
  await using engine = await startSimulatedEngine();

  const { text, end } = await wire(engine, { stream: true }, { cutAfter: 2 });

  assert.equal(end, "end");
  assert.ok(text.includes("token-1") && !text.includes("token-2"));
  assert.ok(!text.endsWith("0\r\n\r\n"));
  assert.deepEqual(engine.counts(), { asked: 1, completed: 0, cancelled: 0, cut: 1, active: 0, probes: 0 });
});

test("an answer that is reset ends the connection with an error", async () => {
  await using engine = await startSimulatedEngine();

  assert.equal((await wire(engine, { stream: true }, { resetAfter: 2 })).end, "reset");
});

test("a cut before the head gives nothing at all", async () => {
  await using engine = await startSimulatedEngine();

  assert.equal((await wire(engine, { stream: true }, { cutAfter: -1 })).text, "");
  assert.equal((await wire(engine, {}, { cutAfter: -1 })).text, "");
});

test("a whole answer that is cut has a part of the bytes it announced", async () => {
  await using engine = await startSimulatedEngine();

  const { text } = await wire(engine, {}, { tokens: 10, cutAfter: 5 });

  const announced = Number(/content-length: (\d+)/.exec(text)?.[1]);
  const received = text.length - text.indexOf("\r\n\r\n") - 4;
  assert.ok(received > 0 && received < announced, `${received} of ${announced}`);
});

test("a stalled stream is silent until its client leaves, and the time of that is known", async () => {
  await using engine = await startSimulatedEngine();
  using client = await RawClient.open(engine.port);
  client.post(CHAT, { stream: true, simulate: { stallAfter: 2 } });
  await client.sees("token-1");

  client.socket.destroy();
  await engine.waitFor((counts) => counts.cancelled === 1);

  assert.deepEqual(engine.counts(), { asked: 1, completed: 0, cancelled: 1, cut: 0, active: 0, probes: 0 });
  const [record] = engine.requests;
  assert.equal(record?.tokensSent, 2);
  assert.ok((record?.cancelledAfterMs ?? 0) > 0);
});

test("a client that half-closes during a stream counts as cancelled", async () => {
  await using engine = await startSimulatedEngine();
  using client = await RawClient.open(engine.port);
  client.post(CHAT, { stream: true, simulate: { intervalMs: 5, tokens: 10_000 } });
  await client.sees("token-1");

  client.socket.end();

  await engine.waitFor((counts) => counts.cancelled === 1 && counts.active === 0);
});

for (const lie of [10, -10]) {
  for (const stream of [true, false]) {
    test(`a ${stream ? "streamed" : "whole"} answer announces ${lie} bytes more than it sends`, async () => {
      await using engine = await startSimulatedEngine();

      const { text } = await wire(engine, { stream }, { contentLengthLie: lie, tokens: 3 });

      const received = text.length - text.indexOf("\r\n\r\n") - 4;
      assert.equal(Number(/content-length: (\d+)/.exec(text)?.[1]) - received, lie);
    });
  }
}

test("byte at a time puts every byte into its own chunk", async () => {
  await using engine = await startSimulatedEngine();

  const { text } = await wire(engine, { stream: true }, { byteAtATime: true, tokens: 2 });

  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  assert.match(body, /^(1\r\n[^]\r\n)+0\r\n\r\n$/);
  assert.ok(unchunked(body).endsWith("data: [DONE]\n\n"));
});

test("a status is answered with an OpenAI error", async () => {
  await using engine = await startSimulatedEngine();

  const response = await send(engine, CHAT, { stream: true, simulate: { status: 429 } });

  assert.equal(response.status, 429);
  assert.equal(response.headers.get("retry-after"), "1");
  assert.equal(JSON.parse(await response.text()).error.type, "rate_limit_error");
});

test("an error in the middle of a stream is an event, and no [DONE] follows", async () => {
  await using engine = await startSimulatedEngine();

  const events = dataOf(await post(engine, CHAT, { stream: true }, { errorMidStream: 1 }));

  assert.equal(events.length, 3);
  assert.ok(JSON.parse(events[2] ?? "").error.message);
});

test("an error under status 200, an empty answer and a missing [DONE] look as they do in the wild", async () => {
  await using engine = await startSimulatedEngine();

  assert.ok(JSON.parse(await post(engine, CHAT, {}, { errorIn200: true })).error);
  assert.match(await post(engine, CHAT, { stream: true }, { errorIn200: true }), /^data: \{"error"/);
  assert.equal(dataOf(await post(engine, CHAT, { stream: true }, { emptyAnswer: true })).length, 3);
  assert.ok(!(await post(engine, CHAT, { stream: true }, { noDone: true })).includes("[DONE]"));
});

test("tool calls and reasoning are streamed as such", async () => {
  await using engine = await startSimulatedEngine();
  const tools = [{ type: "function", function: { name: "look_up" } }];

  const called = dataOf(await post(engine, CHAT, { stream: true, tools }, { toolCalls: true, tokens: 2 }));
  const thought = dataOf(await post(engine, CHAT, { stream: true }, { reasoning: true, tokens: 2 }));

  const deltas = called.slice(0, -1).map((event) => JSON.parse(event).choices[0].delta.tool_calls?.[0].function);
  assert.equal(deltas[1].name, "look_up");
  assert.deepEqual(JSON.parse(deltas.map((call) => call?.arguments ?? "").join("")), { text: "token-0 token-1" });
  assert.equal(JSON.parse(thought[1] ?? "").choices[0].delta.reasoning_content, "token-0");
  assert.equal(JSON.parse(thought[2] ?? "").choices[0].delta.content, " token-1");
});

test("odd SSE says the same as the usual kind", async () => {
  await using engine = await startSimulatedEngine();
  const usual = dataOf(await post(engine, CHAT, { stream: true }, { tokens: 9 }));

  const odd = await post(engine, CHAT, { stream: true }, { tokens: 9, oddSse: true });

  assert.match(odd, /\r\n/);
  assert.match(odd, /^: /m);
  assert.match(odd, /data:\{/);
  const strings = (events: string[]) => events.map((event) => (event === "[DONE]" ? event : JSON.parse(event)));
  assert.deepEqual(strings(dataOf(odd)), strings(usual));
});

test("chunkBytes is the exact size of a token's event", async () => {
  await using engine = await startSimulatedEngine();
  for (const chunkBytes of [100, 400]) {
    const text = await post(engine, CHAT, { stream: true }, { chunkBytes, tokens: 12 });

    const tokens = text.split("\n\n").filter((event) => event.includes("token-"));
    assert.deepEqual(new Set(tokens.map((event) => event.length + 2)), new Set([chunkBytes]));
  }
});

test("a paced stream takes its time, and its first token does not wait for the pace", async () => {
  await using engine = await startSimulatedEngine();
  const started = performance.now();
  using client = await RawClient.open(engine.port);

  client.post(CHAT, { stream: true, simulate: { intervalMs: 20, tokens: 6 } });
  await client.answer();

  const took = performance.now() - started;
  assert.ok(took >= 99 && took < 2000, `${took} ms`);
});

test("a client that does not read makes the engine wait", async () => {
  await using engine = await startSimulatedEngine();
  using client = await RawClient.open(engine.port);
  client.socket.pause();
  client.post(CHAT, { stream: true, simulate: { tokens: 200_000, chunkBytes: 1000 } });
  const sent = await settled(() => engine.requests[0]?.tokensSent ?? 0);

  assert.ok(sent > 0 && sent < 50_000, `${sent} tokens were written to a client that reads nothing`);
  client.socket.resume();
  assert.ok((await client.answer()).text.includes("token-199999"));
});

test("a large upload is counted and hashed, and its fields are found", async () => {
  await using engine = await startSimulatedEngine();
  const chunk = Buffer.alloc(1024 * 1024, "x");
  const parts = [
    Buffer.from('{"model":"big","stream":true,"simulate":{"tokens":1},"input":"'),
    ...Array(24).fill(chunk),
  ];
  parts.push(Buffer.from('"}'));
  const all = Buffer.concat(parts);

  const response = await send(engine, CHAT, all);

  assert.ok((await response.text()).includes("token-0"));
  const [record] = engine.requests;
  assert.equal(record?.bodyBytes, all.length);
  assert.equal(record?.bodySha256, createHash("sha256").update(all).digest("hex"));
  assert.equal(record?.model, "big");
});

test("a multipart upload is answered by its model field", async () => {
  await using engine = await startSimulatedEngine({ behaviours: { "whisper-sim": { tokens: 2 } } });
  const form = new FormData();
  form.set("model", "whisper-sim");
  form.set("file", new Blob([Buffer.alloc(3_000_000)]), "sound.wav");

  const response = await fetch(`${engine.url}/v1/audio/transcriptions`, { method: "POST", body: form });

  assert.equal(((await response.json()) as { text: string }).text, "token-0 token-1");
  assert.equal(engine.requests[0]?.model, "whisper-sim");
});

test("a request on a kept connection, and one sent before the first is answered, each get their answer", async () => {
  await using engine = await startSimulatedEngine();
  using client = await RawClient.open(engine.port);

  client.post(CHAT, { stream: true, simulate: { tokens: 2, intervalMs: 5 } }, "");
  client.post(CHAT, { stream: true, simulate: { tokens: 3 } });
  const { text } = await client.answer();

  assert.equal(text.split("[DONE]").length, 3);
  assert.equal(engine.counts().completed, 2);
});

test("every other route answers", async () => {
  await using engine = await startSimulatedEngine();
  const answers: Record<string, unknown> = {};
  for (const path of ["/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank", "/v1/moderations"]) {
    answers[path] = Object.keys(
      JSON.parse(await post(engine, path, { input: "a", query: "a", documents: ["b", "a"] })),
    );
  }
  for (const path of ["/v1/images/generations", "/api/generate"]) {
    answers[path] = Object.keys(JSON.parse(await post(engine, path, { stream: false })));
  }
  const speech = await send(engine, "/v1/audio/speech", { simulate: { tokens: 5 } });

  assert.equal((await speech.arrayBuffer()).byteLength, 500);
  assert.ok(Object.values(answers).every((keys) => Array.isArray(keys) && keys.length > 2));
});

test("embeddings are the same each time, as floats and as base64", async () => {
  await using engine = await startSimulatedEngine();

  const floats = JSON.parse(await post(engine, "/v1/embeddings", { input: ["a", "b"] })).data;
  const base64 = JSON.parse(await post(engine, "/v1/embeddings", { input: "a", encoding_format: "base64" })).data;

  const decoded = Buffer.from(base64[0].embedding, "base64");
  assert.deepEqual([...new Float32Array(decoded.buffer, decoded.byteOffset, 8)], floats[0].embedding);
  assert.notDeepEqual(floats[0].embedding, floats[1].embedding);
});

for (const [identity, path, proof] of [
  ["llama.cpp", "/props", "total_slots"],
  ["ollama", "/api/tags", "digest"],
  ["vllm", "/version", "version"],
  ["sglang", "/get_model_info", "is_generation"],
  ["lm-studio", "/api/v0/models", "loaded"],
] as const) {
  test(`it passes for ${identity}`, async () => {
    await using engine = await startSimulatedEngine({ identity, models: ["m"] });

    const response = await fetch(engine.url + path);
    const models = await fetch(`${engine.url}/v1/models`);

    assert.ok((await response.text()).includes(proof));
    assert.equal(models.headers.get("server"), identity === "llama.cpp" ? "llama.cpp" : models.headers.get("server"));
    assert.equal(((await models.json()) as { data: { id: string }[] }).data[0]?.id, "m");
    assert.deepEqual({ asked: engine.counts().asked, probes: engine.counts().probes }, { asked: 0, probes: 2 });
  });
}

test("a typing error in the behaviour is answered 400 with the field's name", async () => {
  await using engine = await startSimulatedEngine();

  assert.match(await post(engine, CHAT, {}, { stalAfter: 1 } as Behaviour), /stalAfter/);
});

test("keys and unknown models are refused when the engine is told to", async () => {
  await using engine = await startSimulatedEngine({ apiKey: "secret", refusesUnknownModels: true, models: ["m"] });
  const ask = (model: string, key: string) =>
    fetch(engine.url + CHAT, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ model }),
    });

  assert.equal((await ask("m", "wrong")).status, 401);
  assert.equal((await ask("x", "secret")).status, 404);
  assert.equal((await ask("m", "secret")).status, 200);
});

test("the control routes show and forget", async () => {
  await using engine = await startSimulatedEngine();
  await post(engine, CHAT, { model: "m" });

  const requests = (await (await fetch(`${engine.url}/__sim/requests`)).json()) as { model: string }[];
  await fetch(`${engine.url}/__sim/reset`, { method: "POST" });
  const counts = (await (await fetch(`${engine.url}/__sim/counts`)).json()) as { asked: number };

  assert.equal(requests[0]?.model, "m");
  assert.equal(counts.asked, 0);
});

test("two thousand paced streams run side by side and all complete", async () => {
  await using engine = await startSimulatedEngine();
  const body = JSON.stringify({ stream: true, simulate: { tokens: 5, intervalMs: 50 } });

  await Promise.all(Array.from({ length: 2000 }, () => drained(engine.port, body)));
  await engine.waitFor((counts) => counts.active === 0);

  assert.equal(engine.counts().completed, 2000);
});

function send(engine: SimulatedEngine, path: string, body: object): Promise<Response> {
  const bytes = Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body);
  return fetch(engine.url + path, { method: "POST", headers: { "content-type": "application/json" }, body: bytes });
}

async function post(engine: SimulatedEngine, path: string, body: object, simulate?: Behaviour): Promise<string> {
  return (await send(engine, path, simulate === undefined ? body : { ...body, simulate })).text();
}

async function wire(engine: SimulatedEngine, body: object, simulate: Behaviour) {
  using client = await RawClient.open(engine.port);
  client.post(CHAT, { ...body, simulate });
  return await client.answer();
}

/** The data of each event, read as the event stream format says. */
function dataOf(text: string): string[] {
  const events: string[] = [];
  let lines: string[] = [];
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line === "" && lines.length > 0) events.push(lines.splice(0).join("\n"));
    else if (line.startsWith("data:")) lines.push(line.slice(5).replace(/^ /, ""));
  }
  lines = [];
  return events;
}

function unchunked(body: string): string {
  return body.replaceAll(/1\r\n([^])\r\n/g, "$1").replace(/0\r\n\r\n$/, "");
}

/** The value once it is above zero and the same ten times, 10 ms apart. */
async function settled(value: () => number): Promise<number> {
  let same = 0;
  for (let last = value(); same < 10; last = value()) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    same = last > 0 && value() === last ? same + 1 : 0;
  }
  return value();
}

async function drained(port: number, body: string): Promise<void> {
  const asked = request({ port, host: "127.0.0.1", method: "POST", path: CHAT, agent: false });
  asked.end(body);
  const [response] = await once(asked, "response");
  response.resume();
  await once(response, "end");
}
