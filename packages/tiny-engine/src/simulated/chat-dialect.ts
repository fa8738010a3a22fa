import { type AnswerPlan, textOf, type TokenPart, tokenText } from "./answer-plan.ts";
import type { Dialect, StreamEvent } from "./dialect.ts";

// Fixed, so that the same request gives the same bytes.
const ID = "chatcmpl-simulated";
const CREATED = 1_700_000_000;

/** `POST /v1/chat/completions` (OpenAI API reference, "Chat"); reasoning as `reasoning_content`, as vLLM and others. */
export const chatDialect: Dialect = {
  name: "chat",
  framing: "sse",
  hasDone: true,
  opening(plan) {
    const events = [chunk(plan.model, { role: "assistant", content: plan.toolName === undefined ? "" : null }, null)];
    if (plan.toolName !== undefined) events.push(...openToolCall(plan, plan.toolName));
    return events;
  },
  token: (model, part, index) => chunk(model, deltaOf(part, index), null),
  shortToken: (part, index) => ({ json: JSON.stringify({ choices: [{ index: 0, delta: deltaOf(part, index) }] }) }),
  closing(plan) {
    const events: StreamEvent[] = [];
    if (plan.toolName !== undefined) events.push(chunk(plan.model, callArguments('"}'), null));
    events.push(chunk(plan.model, {}, finishReason(plan)));
    if (plan.reportsUsage) events.push({ json: envelope(plan.model, [], chatUsage(plan)) });
    return events;
  },
  error: openAiStreamError,
  whole: (plan) => ({
    id: ID,
    object: "chat.completion",
    created: CREATED,
    model: plan.model,
    choices: [{ index: 0, message: message(plan), logprobs: null, finish_reason: finishReason(plan) }],
    ...(plan.behaviour.usage === false ? {} : { usage: chatUsage(plan) }),
  }),
};

/** `POST /v1/completions` (OpenAI API reference, "Completions"). */
export const completionDialect: Dialect = {
  name: "completion",
  framing: "sse",
  hasDone: true,
  opening: () => [],
  token: (model, _part, index) => textChunk(model, tokenText(index), null),
  closing(plan) {
    const events = [textChunk(plan.model, "", textFinish(plan))];
    if (plan.reportsUsage) events.push({ json: textEnvelope(plan.model, [], chatUsage(plan)) });
    return events;
  },
  error: openAiStreamError,
  whole: (plan) => ({
    id: "cmpl-simulated",
    object: "text_completion",
    created: CREATED,
    model: plan.model,
    choices: [{ index: 0, text: textOf(0, plan.tokens), logprobs: null, finish_reason: textFinish(plan) }],
    ...(plan.behaviour.usage === false ? {} : { usage: chatUsage(plan) }),
  }),
};

/** An error in the middle of an OpenAI stream: an event with `error` and no choices. */
export function openAiStreamError(text: string): StreamEvent {
  return { json: JSON.stringify({ error: { message: text, type: "server_error", code: "simulated", param: null } }) };
}

function chunk(model: string, delta: object, finish: string | null): StreamEvent {
  return { json: envelope(model, [{ index: 0, delta, finish_reason: finish }]) };
}

function envelope(model: string, choices: readonly object[], usage?: object): string {
  return JSON.stringify({ id: ID, object: "chat.completion.chunk", created: CREATED, model, choices, usage });
}

function textChunk(model: string, text: string, finish: string | null): StreamEvent {
  return { json: textEnvelope(model, [{ index: 0, text, logprobs: null, finish_reason: finish }]) };
}

function textEnvelope(model: string, choices: readonly object[], usage?: object): string {
  return JSON.stringify({
    id: "cmpl-simulated",
    object: "text_completion",
    created: CREATED,
    model,
    choices,
    usage,
  });
}

function deltaOf(part: TokenPart, index: number): object {
  switch (part) {
    case "text":
      return { content: tokenText(index) };
    case "reasoning":
      return { reasoning_content: tokenText(index) };
    case "arguments":
      return callArguments(tokenText(index));
  }
}

function openToolCall(plan: AnswerPlan, name: string): StreamEvent[] {
  const call = { index: 0, id: "call_simulated", type: "function", function: { name, arguments: "" } };
  return [chunk(plan.model, { tool_calls: [call] }, null), chunk(plan.model, callArguments('{"text":"'), null)];
}

function callArguments(piece: string): object {
  return { tool_calls: [{ index: 0, function: { arguments: piece } }] };
}

function message(plan: AnswerPlan): object {
  const text = textOf(plan.reasoningTokens, plan.tokens);
  const reasoning = plan.reasoningTokens > 0 ? { reasoning_content: textOf(0, plan.reasoningTokens) } : {};
  if (plan.toolName === undefined) return { role: "assistant", content: text, ...reasoning };
  const call = { name: plan.toolName, arguments: JSON.stringify({ text }) };
  const toolCalls = [{ id: "call_simulated", type: "function", function: call }];
  return { role: "assistant", content: null, ...reasoning, tool_calls: toolCalls };
}

function finishReason(plan: AnswerPlan): string {
  if (plan.isCutByLength) return "length";
  return plan.toolName === undefined ? "stop" : "tool_calls";
}

function textFinish(plan: AnswerPlan): string {
  return plan.isCutByLength ? "length" : "stop";
}

function chatUsage(plan: AnswerPlan): object {
  const { input, output, reasoning } = plan.usage;
  const details = reasoning > 0 ? { completion_tokens_details: { reasoning_tokens: reasoning } } : {};
  return { prompt_tokens: input, completion_tokens: output, total_tokens: input + output, ...details };
}
