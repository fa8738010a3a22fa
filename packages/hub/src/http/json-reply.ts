import type { Exchange } from "./exchange.ts";

/** Answers with a JSON value. A HEAD gets the same head without the body. */
export function answerJson(exchange: Exchange, status: number, value: unknown): void {
  answerText(exchange, { status, contentType: "application/json", text: JSON.stringify(value) });
}

export interface TextAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

export function answerText({ request, reply }: Exchange, { status, contentType, text }: TextAnswer): void {
  reply.head(status, ["content-type", contentType, "content-length", String(Buffer.byteLength(text))]);
  reply.end(request.method === "HEAD" ? undefined : text);
}
