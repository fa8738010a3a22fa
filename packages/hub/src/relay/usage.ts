/** What an engine says it used. An absent number is unknown, never zero. */
export interface Usage {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly cacheReadTokens?: number;
  readonly reasoningTokens?: number;
}

/** The usage in a parsed answer or event, in the words of any of OpenAI's APIs; undefined when there is none. */
export function usageIn(value: unknown): Usage | undefined {
  if (!isRecord(value)) return undefined;
  // The Responses API wraps the answer: {"type":"response.completed","response":{"usage":{...}}}.
  const usage = value["usage"] ?? (isRecord(value["response"]) ? value["response"]["usage"] : undefined);
  return isRecord(usage) ? usageOf(usage) : undefined;
}

/** The usage object alone. */
export function usageOf(usage: Readonly<Record<string, unknown>>): Usage {
  // Chat, Responses and Realtime API, in this order.
  const inputDetails = usage["prompt_tokens_details"] ?? usage["input_tokens_details"] ?? usage["input_token_details"];
  const outputDetails =
    usage["completion_tokens_details"] ?? usage["output_tokens_details"] ?? usage["output_token_details"];
  return {
    ...counted("inputTokens", usage["prompt_tokens"] ?? usage["input_tokens"]),
    ...counted("outputTokens", usage["completion_tokens"] ?? usage["output_tokens"]),
    ...counted("cacheReadTokens", isRecord(inputDetails) ? inputDetails["cached_tokens"] : undefined),
    ...counted("reasoningTokens", isRecord(outputDetails) ? outputDetails["reasoning_tokens"] : undefined),
  };
}

/** A worker may say anything: only a whole, non-negative number is taken. */
function counted(name: keyof Usage, value: unknown): Usage {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? { [name]: value } : {};
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `text` as JSON, or undefined. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // What an engine sends is the client's to judge; it only carries nothing that we can read.
    return undefined;
  }
}
