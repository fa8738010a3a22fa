import { type AnswerPlan, textOf, tokenText } from "./answer-plan.ts";
import type { Dialect } from "./dialect.ts";

const CREATED_AT = "2026-01-01T00:00:00Z";

/** Ollama's `POST /api/chat`: one JSON object a line; the last one is `done` and has the counts. */
export const ollamaChatDialect = ollamaDialect("ollama-chat", (text) => ({
  message: { role: "assistant", content: text },
}));

/** Ollama's `POST /api/generate`. */
export const ollamaGenerateDialect = ollamaDialect("ollama-generate", (text) => ({ response: text }));

function ollamaDialect(name: string, content: (text: string) => object): Dialect {
  const line = (model: string, text: string) =>
    JSON.stringify({ model, created_at: CREATED_AT, ...content(text), done: false });
  const last = (plan: AnswerPlan, text: string) => ({
    model: plan.model,
    created_at: CREATED_AT,
    ...content(text),
    done: true,
    done_reason: plan.isCutByLength ? "length" : "stop",
    ...counts(plan),
  });
  return {
    name,
    framing: "ndjson",
    hasDone: false,
    opening: () => [],
    token: (model, _part, index) => ({ json: line(model, tokenText(index)) }),
    closing: (plan) => [{ json: JSON.stringify(last(plan, "")) }],
    error: (message) => ({ json: JSON.stringify({ error: message }) }),
    whole: (plan) => last(plan, textOf(0, plan.tokens)),
  };
}

/** Durations in nanoseconds, made up: 1 ms a token. */
function counts(plan: AnswerPlan): object {
  if (plan.behaviour.usage === false) return {};
  const { input, output } = plan.usage;
  return {
    total_duration: (input + output) * 1_000_000,
    load_duration: 0,
    prompt_eval_count: input,
    prompt_eval_duration: input * 1_000_000,
    eval_count: output,
    eval_duration: output * 1_000_000,
  };
}
