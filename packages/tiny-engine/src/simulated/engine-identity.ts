/** The engine that a simulated one passes for, when a worker looks for engines. */
export type EngineIdentityName = "llama.cpp" | "ollama" | "vllm" | "sglang" | "lm-studio" | "generic";

/** What an identity's routes tell. */
export interface EngineFacts {
  readonly models: readonly string[];
  /** Tokens a request may have. */
  readonly contextLength: number;
  /** Requests that are answered at once. */
  readonly slots: number;
  /** Requests being answered now. */
  readonly running: number;
}

/** One answer of an identity. A string is sent as text, anything else as JSON. */
export type IdentityAnswer = string | object;

/** The signature of one kind of engine: what tells it from others. */
export interface EngineIdentity {
  readonly serverHeader: string | undefined;
  readonly ownedBy: string;
  /** Fields of a model in `GET /v1/models` besides the usual ones. */
  modelFields(facts: EngineFacts): object;
  /** Answers by "METHOD /path". `body` is that of a POST. */
  readonly routes: Readonly<
    Record<string, (facts: EngineFacts, body: Readonly<Record<string, unknown>>) => IdentityAnswer>
  >;
}

const VERSION = "0.0.0-simulated";

/** Recognised as in the survey of engine APIs: own endpoint, `owned_by`, `Server` header, metric prefix. */
export const ENGINE_IDENTITIES: Readonly<Record<EngineIdentityName, EngineIdentity>> = {
  generic: {
    serverHeader: undefined,
    ownedBy: "simulated",
    modelFields: () => ({}),
    routes: {},
  },
  "llama.cpp": {
    serverHeader: "llama.cpp",
    ownedBy: "llamacpp",
    modelFields: (facts) => ({ meta: { n_ctx_train: facts.contextLength, n_params: 1_000_000, size: 2_000_000 } }),
    routes: {
      "GET /health": () => ({ status: "ok" }),
      "GET /props": (facts) => ({
        default_generation_settings: { n_ctx: facts.contextLength },
        total_slots: facts.slots,
        model_path: facts.models[0] ?? "",
        chat_template: "{{ messages }}",
        modalities: { vision: false, audio: false },
        build_info: VERSION,
      }),
      "GET /slots": (facts) => slots(facts),
      "GET /metrics": (facts) => metric("llamacpp:requests_processing", facts.running),
    },
  },
  ollama: {
    serverHeader: undefined,
    ownedBy: "library",
    modelFields: () => ({}),
    routes: {
      "GET /": () => "Ollama is running",
      "GET /api/version": () => ({ version: VERSION }),
      "GET /api/tags": (facts) => ({ models: facts.models.map(ollamaModel) }),
      "GET /api/ps": (facts) => ({
        models: facts.models.map((model) => ({
          ...ollamaModel(model),
          expires_at: "2099-01-01T00:00:00Z",
          size_vram: 0,
          context_length: facts.contextLength,
        })),
      }),
      "POST /api/show": (facts) => ({
        details: OLLAMA_DETAILS,
        capabilities: ["completion", "tools", "embedding"],
        model_info: { "general.architecture": "llama", "llama.context_length": facts.contextLength },
        template: "",
        parameters: `num_ctx ${facts.contextLength}`,
      }),
    },
  },
  vllm: {
    serverHeader: "uvicorn",
    ownedBy: "vllm",
    modelFields: (facts) => ({ max_model_len: facts.contextLength, parent: null }),
    routes: {
      "GET /health": () => "",
      "GET /version": () => ({ version: VERSION }),
      "GET /metrics": (facts) =>
        facts.models
          .map((model) => metric(`vllm:num_requests_running{model_name="${model}"}`, facts.running))
          .join("") +
        facts.models.map((model) => metric(`vllm:num_requests_waiting{model_name="${model}"}`, 0)).join(""),
    },
  },
  sglang: {
    serverHeader: "uvicorn",
    ownedBy: "sglang",
    modelFields: (facts) => ({ max_model_len: facts.contextLength }),
    routes: {
      "GET /health": () => "",
      "GET /get_model_info": sglangModel,
      "GET /model_info": sglangModel,
      "GET /get_server_info": sglangServer,
      "GET /server_info": sglangServer,
      "GET /get_load": (facts) => [{ dp_rank: 0, num_reqs: facts.running, num_waiting_reqs: 0, num_tokens: 0 }],
      "GET /metrics": (facts) => metric("sglang:num_running_reqs", facts.running) + metric("sglang:num_queue_reqs", 0),
    },
  },
  "lm-studio": {
    serverHeader: undefined,
    ownedBy: "organization_owner",
    modelFields: () => ({}),
    routes: {
      "GET /api/v0/models": (facts) => ({
        object: "list",
        data: facts.models.map((id) => ({
          id,
          object: "model",
          type: "llm",
          arch: "llama",
          quantization: "F16",
          state: "loaded",
          max_context_length: facts.contextLength,
          loaded_context_length: facts.contextLength,
        })),
      }),
      "GET /api/v1/models": (facts) => ({
        models: facts.models.map((key) => ({
          key,
          type: "llm",
          params_string: "1M",
          max_context_length: facts.contextLength,
          capabilities: { vision: false, trained_for_tool_use: true },
          loaded_instances: [{ id: key, config: { context_length: facts.contextLength } }],
        })),
      }),
    },
  },
};

/** The answer to `GET /v1/models`. */
export function modelList(identity: EngineIdentity, facts: EngineFacts): object {
  return { object: "list", data: facts.models.map((id) => modelEntry(identity, facts, id)) };
}

/** One model of the list. */
export function modelEntry(identity: EngineIdentity, facts: EngineFacts, id: string): object {
  const usual = { id, object: "model", created: 1_700_000_000, owned_by: identity.ownedBy };
  return { ...usual, ...identity.modelFields(facts) };
}

const OLLAMA_DETAILS = { format: "gguf", family: "llama", parameter_size: "1M", quantization_level: "F16" };

function ollamaModel(name: string): object {
  const digest = "0".repeat(64);
  return { name, model: name, modified_at: "2026-01-01T00:00:00Z", size: 2_000_000, digest, details: OLLAMA_DETAILS };
}

function slots(facts: EngineFacts): object[] {
  return Array.from({ length: facts.slots }, (_, id) => ({
    id,
    n_ctx: facts.contextLength,
    is_processing: id < facts.running,
  }));
}

function sglangModel(facts: EngineFacts): object {
  const path = facts.models[0] ?? "";
  return { model_path: path, tokenizer_path: path, is_generation: true, weight_version: "default" };
}

function sglangServer(facts: EngineFacts): object {
  return { model_path: facts.models[0] ?? "", max_total_num_tokens: facts.contextLength, version: VERSION };
}

function metric(name: string, value: number): string {
  return `${name} ${value}\n`;
}
