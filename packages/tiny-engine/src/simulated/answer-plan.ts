import type { Behaviour } from "./behaviour.ts";

/** What a token of the answer is part of. */
export type TokenPart = "text" | "reasoning" | "arguments";

/** Token counts, exact: a quarter of the body's bytes in, the tokens of the answer out. */
export interface Usage {
  readonly input: number;
  readonly output: number;
  readonly reasoning: number;
}

/** Everything about one answer that is decided before its first byte. */
export interface AnswerPlan {
  readonly model: string;
  readonly tokens: number;
  readonly isCutByLength: boolean;
  readonly reasoningTokens: number;
  /** Name of the tool that is called instead of answering with text. */
  readonly toolName: string | undefined;
  readonly usage: Usage;
  /** Whether a stream ends with its usage. A whole answer has it unless the behaviour says never. */
  readonly reportsUsage: boolean;
  readonly behaviour: Behaviour;
}

/** Body of a request, as far as it is known. */
export type RequestBody = Readonly<Record<string, unknown>>;

const DEFAULT_TOKENS = 20;

/** The answer that `body` asks for under `behaviour`. */
export function planAnswer(body: RequestBody, bodyBytes: number, behaviour: Behaviour, model: string): AnswerPlan {
  const wanted = behaviour.emptyAnswer === true ? 0 : (behaviour.tokens ?? DEFAULT_TOKENS);
  const limit = tokenLimit(body);
  const tokens = Math.min(wanted, limit ?? wanted);
  const reasoningTokens = behaviour.reasoning === true ? Math.ceil(tokens / 2) : 0;
  return {
    model,
    tokens,
    isCutByLength: tokens < wanted,
    reasoningTokens,
    toolName: behaviour.toolCalls === true ? toolName(body) : undefined,
    usage: { input: Math.ceil(bodyBytes / 4), output: tokens, reasoning: reasoningTokens },
    reportsUsage: behaviour.usage ?? asksUsage(body),
    behaviour,
  };
}

/** What token `index` is part of. */
export function partOf(plan: AnswerPlan, index: number): TokenPart {
  if (index < plan.reasoningTokens) return "reasoning";
  return plan.toolName === undefined ? "text" : "arguments";
}

/** Text of token `index`: "token-0", " token-1", … */
export function tokenText(index: number): string {
  return index === 0 ? "token-0" : ` token-${index}`;
}

/** Text of the tokens from `from` to before `to`. */
export function textOf(from: number, to: number): string {
  let text = "";
  for (let index = from; index < to; index += 1) text += tokenText(index);
  return text;
}

/** `value` when it is an object, else an empty one. */
export function recordOf(value: unknown): RequestBody {
  return typeof value === "object" && value !== null ? (value as RequestBody) : {};
}

function tokenLimit(body: RequestBody): number | undefined {
  const limits = [body["max_completion_tokens"], body["max_tokens"], body["max_output_tokens"]];
  limits.push(recordOf(body["options"])["num_predict"]);
  return limits.find((limit) => typeof limit === "number" && Number.isInteger(limit) && limit >= 0) as
    | number
    | undefined;
}

function asksUsage(body: RequestBody): boolean {
  return recordOf(body["stream_options"])["include_usage"] === true;
}

function toolName(body: RequestBody): string {
  const tools: unknown = body["tools"];
  const first = recordOf(Array.isArray(tools) ? tools[0] : undefined);
  const name = recordOf(first["function"])["name"] ?? first["name"];
  return typeof name === "string" ? name : "simulated_tool";
}
