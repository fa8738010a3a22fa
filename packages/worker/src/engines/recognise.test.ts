import assert from "node:assert/strict";
import { test } from "node:test";

import { startServer } from "../serving/test-engine.ts";
import type { EngineKind, ServedModel } from "./engine.ts";
import { EngineProbe, openProbeDispatcher } from "./probe.ts";
import { recognise } from "./recognise.ts";

type Answers = Readonly<Record<string, unknown>>;

interface Look {
  readonly name: string | undefined;
  readonly score: number | undefined;
  readonly version: string | undefined;
  readonly slots: number | undefined;
  readonly models: readonly ServedModel[] | undefined;
  readonly waiting: number | undefined;
  readonly asked: readonly string[];
}

/** Looks at a server that answers each path with a text or JSON, and everything else with 404. */
async function look(answers: Answers, headers: Record<string, string> = {}): Promise<Look> {
  const asked: string[] = [];
  await using server = await startServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const answer = answers[request.url ?? ""];
    response.writeHead(answer === undefined ? 404 : 200, headers);
    response.end(typeof answer === "string" ? answer : JSON.stringify(answer ?? {}));
  });
  await using closing = new AsyncDisposableStack();
  const dispatcher = closing.adopt(openProbeDispatcher(), (agent) => agent.destroy());
  const probe = new EngineProbe(server.url, { timeoutMs: 400, maxBytes: 65_536, dispatcher });
  const found = await recognise(probe);
  const kind: EngineKind | undefined = found?.kind;
  return {
    name: kind?.name,
    score: found?.recognition.score,
    version: found?.recognition.version,
    slots: found?.recognition.slots,
    models: await kind?.listModels(probe, new Map()),
    waiting: (await kind?.readLoad?.(probe))?.waiting,
    asked,
  };
}

function list(owner: string | undefined, ...models: object[]): object {
  return { object: "list", data: models.map((model) => ({ object: "model", owned_by: owner, ...model })) };
}

test("Ollama: local models with the window in use; cloud models stay out", async () => {
  const found = await look({
    "/": "Ollama is running",
    "/v1/models": list("library", { id: "llama3:8b" }),
    "/api/version": { version: "0.5.1" },
    "/api/tags": {
      models: [
        { name: "llama3:8b", digest: "d1" },
        { name: "embed:latest", digest: "d2" },
        { name: "gpt:cloud", digest: "d3", remote_host: "https://ollama.com", remote_model: "gpt" },
      ],
    },
    "/api/ps": { models: [{ name: "llama3:8b", context_length: 8192 }] },
    "/api/show": { capabilities: ["completion", "tools", "insert"], parameters: 'stop "x"\nnum_ctx  4096\n' },
  });

  assert.deepEqual([found.name, found.score, found.version, found.slots], ["ollama", 1, "0.5.1", 4]);
  assert.deepEqual(found.models, [
    { id: "llama3:8b", upstream: "llama3:8b", contextLength: 8192, capabilities: ["chat", "tools"], loaded: true },
    {
      id: "embed:latest",
      upstream: "embed:latest",
      contextLength: 4096,
      capabilities: ["chat", "tools"],
      loaded: false,
    },
  ]);
});

test("vLLM: models with their length, waiting requests from its metrics", async () => {
  const found = await look({
    "/v1/models": list("vllm", { id: "org/m", max_model_len: 32_768 }, { id: "lora", parent: "org/m" }),
    "/version": { version: "0.9.0" },
    "/metrics":
      '# HELP vllm:num_requests_waiting x\nvllm:num_requests_waiting{e="0"} 2.0\nvllm:num_requests_waiting{e="1"} 1.0\nvllm:num_requests_waiting_total 9\n',
  });

  assert.deepEqual([found.name, found.score, found.version, found.waiting], ["vllm", 1, "0.9.0", 3]);
  assert.deepEqual(found.models, [
    { id: "org/m", upstream: "org/m", contextLength: 32_768, loaded: true },
    { id: "lora", upstream: "lora", loaded: true },
  ]);
});

test("SGLang: by its own model info, under both names", async () => {
  for (const path of ["/get_model_info", "/model_info"]) {
    const found = await look({
      "/v1/models": list("sglang", { id: "m" }),
      [path]: { model_path: "org/m" },
      "/get_server_info": { version: "0.5.0" },
      "/get_load": [{ num_waiting_reqs: 1 }, { num_waiting_reqs: 3 }],
    });

    assert.deepEqual([found.name, found.score, found.version, found.waiting], ["sglang", 1, "0.5.0", 4]);
    assert.equal(found.asked.includes("GET /health_generate"), false);
  }
});

test("llama.cpp: slots and window from its props; the path of the model's file is not told", async () => {
  const found = await look(
    {
      "/": "<html>",
      "/v1/models": list("llamacpp", { id: "/home/me/models/tiny-q4.gguf" }),
      "/props": {
        default_generation_settings: { n_ctx: 2048 },
        total_slots: 2,
        build_info: "b5000",
        chat_template: "{{x}}",
        modalities: { vision: true, audio: false },
      },
    },
    { server: "llama.cpp" },
  );

  assert.deepEqual([found.name, found.score, found.version, found.slots], ["llama.cpp", 1, "b5000", 2]);
  assert.deepEqual(found.models, [
    {
      id: "tiny-q4",
      upstream: "/home/me/models/tiny-q4.gguf",
      contextLength: 2048,
      capabilities: ["chat", "vision"],
      loaded: true,
    },
  ]);
});

test("LM Studio: by its own model list, newer and older", async () => {
  const newer = await look({
    "/api/v1/models": {
      models: [
        { key: "qwen", type: "llm", max_context_length: 9, loaded_instances: [{ config: { context_length: 5 } }] },
        { key: "nomic", type: "embedding", loaded_instances: [] },
      ],
    },
    "/v1/models": list("organization_owner", { id: "qwen" }),
  });
  const older = await look({
    "/api/v0/models": { data: [{ id: "llava", type: "vlm", state: "loaded", loaded_context_length: 7 }] },
    "/v1/models": list("organization_owner", { id: "llava" }),
  });

  assert.deepEqual([newer.name, newer.score], ["lm-studio", 1]);
  assert.deepEqual(newer.models, [
    { id: "qwen", upstream: "qwen", loaded: true, contextLength: 5, capabilities: ["chat"] },
    { id: "nomic", upstream: "nomic", loaded: false, capabilities: ["embeddings"] },
  ]);
  assert.deepEqual(older.models, [
    { id: "llava", upstream: "llava", loaded: true, contextLength: 7, capabilities: ["chat", "vision"] },
  ]);
});

test("the owner's word alone is enough to publish, but is no certainty", async () => {
  for (const owner of ["vllm", "sglang", "llamacpp"]) {
    assert.equal((await look({ "/v1/models": list(owner, { id: "m" }) })).score, 0.8);
  }
});

test("any other list of models is a guess, and a proxy in front of many is no more", async () => {
  for (const owner of ["llama-swap", undefined]) {
    const found = await look({ "/v1/models": list(owner, { id: "m", context_length: 10 }) });

    assert.deepEqual([found.name, found.score], ["openai", 0.5]);
    assert.deepEqual(found.models, [{ id: "m", upstream: "m", contextLength: 10 }]);
  }
});

test("what is no engine is not taken for one", async () => {
  assert.equal((await look({ "/": "hello" })).name, undefined);
  assert.equal((await look({ "/v1/models": { data: "x" } })).name, undefined);
  assert.equal((await look({ "/": "Ollama is running" })).score, 0.5);
});

test("looking is asking: nothing but GET, and Ollama's show, reaches an engine", async () => {
  const found = await look({
    "/": "Ollama is running",
    "/api/version": { version: "1" },
    "/api/tags": { models: [{ name: "m" }] },
  });

  assert.deepEqual(
    found.asked.filter((line) => !line.startsWith("GET ")),
    ["POST /api/show"],
  );
});
