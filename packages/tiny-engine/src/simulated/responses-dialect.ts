import { type AnswerPlan, textOf, tokenText } from "./answer-plan.ts";
import type { Dialect, StreamEvent } from "./dialect.ts";

const ITEM = "msg_simulated";

/** `POST /v1/responses` (OpenAI API reference, "Responses"): named events, usage in the last one, no `[DONE]`. */
export const responsesDialect: Dialect = {
  name: "responses",
  framing: "sse",
  hasDone: false,
  opening: (plan) => [
    event("response.created", { response: responseObject(plan, "in_progress") }),
    event("response.output_item.added", { output_index: 0, item: item("in_progress", []) }),
    event("response.content_part.added", { ...PLACE, part: part("") }),
  ],
  token: (_model, _part, index) => event("response.output_text.delta", { ...PLACE, delta: tokenText(index) }),
  closing(plan) {
    const text = textOf(0, plan.tokens);
    const status = plan.isCutByLength ? "incomplete" : "completed";
    return [
      event("response.output_text.done", { ...PLACE, text }),
      event("response.content_part.done", { ...PLACE, part: part(text) }),
      event("response.output_item.done", { output_index: 0, item: item(status, [part(text)]) }),
      event(`response.${status}`, { response: responseObject(plan, status) }),
    ];
  },
  error: (message) => event("error", { code: "simulated", message, param: null }),
  whole: (plan) => responseObject(plan, plan.isCutByLength ? "incomplete" : "completed"),
};

const PLACE = { item_id: ITEM, output_index: 0, content_index: 0 };

function event(name: string, fields: object): StreamEvent {
  return { name, json: JSON.stringify({ type: name, ...fields }) };
}

function part(text: string): object {
  return { type: "output_text", text, annotations: [] };
}

function item(status: string, content: readonly object[]): object {
  return { id: ITEM, type: "message", role: "assistant", status, content };
}

function responseObject(plan: AnswerPlan, status: "in_progress" | "completed" | "incomplete"): object {
  const isOver = status !== "in_progress";
  return {
    id: "resp_simulated",
    object: "response",
    created_at: 1_700_000_000,
    model: plan.model,
    status,
    incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
    error: null,
    output: isOver ? [item(status, [part(textOf(0, plan.tokens))])] : [],
    usage: isOver && plan.behaviour.usage !== false ? responsesUsage(plan) : null,
  };
}

function responsesUsage(plan: AnswerPlan): object {
  const { input, output, reasoning } = plan.usage;
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  };
}
