import assert from "node:assert/strict";

import { chatText, HttpExchange, simulatedText, sseData } from "../http-exchange.ts";
import type { Access } from "../system.ts";

/** So many streams at once, each with its first token. `body` is asked for each. */
export async function openStreams(access: Access, count: number, body: () => object): Promise<HttpExchange[]> {
  const opening = Array.from({ length: count }, () => HttpExchange.open(access, { body: body() }));
  const exchanges = await Promise.all(opening);
  await Promise.all(exchanges.map((exchange) => exchange.until("token-0")));
  return exchanges;
}

/** A chat stream that has every token, in order, and its end. */
export async function assertWholeStream(exchange: HttpExchange, tokens: number): Promise<void> {
  assert.equal(await exchange.ended, "clean");
  assert.equal(exchange.status, 200, exchange.text);
  assert.equal(chatText(exchange.text), simulatedText(tokens));
  assert.equal(sseData(exchange.text).at(-1), "[DONE]");
}

/**
 * A chat stream that broke after its first content (tunnels.md 4.5): what came is a beginning, one error event ends it,
 * and `[DONE]` does not come.
 */
export async function assertCutStream(exchange: HttpExchange, code: string): Promise<void> {
  assert.equal(await exchange.ended, "clean");
  assert.equal(exchange.status, 200);
  const data = sseData(exchange.text);
  const error = errorIn(data.at(-1) ?? "");
  assert.equal(error.code, code, data.at(-1));
  assert.equal(error.type, "server_error");
  assert.equal(data.filter((each) => each.includes('"error"')).length, 1);
  assert.ok(!data.includes("[DONE]"));
  const text = chatText(exchange.text);
  assert.ok(text.length > 0 && simulatedText(text.length).startsWith(text));
}

/** A failure before the first byte: a status, OpenAI's error object, and an id to ask about. */
export function assertRefused(exchange: HttpExchange, status: number, code: string): void {
  assert.equal(exchange.status, status, exchange.text);
  assert.equal(errorIn(exchange.text).code, code);
  assert.match(exchange.headers["x-request-id"]?.toString() ?? "", /^req_/);
}

interface ApiError {
  readonly code: string;
  readonly type: string;
  readonly message: string;
}

/** The error object of a body or an event. */
export function errorIn(json: string): ApiError {
  const { error } = JSON.parse(json) as { error?: ApiError };
  assert.ok(error !== undefined, json);
  assert.ok(error.message.length > 0);
  return error;
}
