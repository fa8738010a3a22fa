import type { PassingMessage } from "@tokilake/tunnel";

import { isRecord, parseJson, type Usage, usageIn } from "./usage.ts";

/** A longer event is not looked into. */
const MAX_READ_BYTES = 256 * 1024;
const RESPONSE_DONE = '"response.done"';

/** Reads along a realtime session: its bytes, and the usage of each response (OpenAI API reference, `response.done`). */
export class RealtimeMeter {
  received = 0;
  sent = 0;
  #usage: Usage | undefined;

  /** Of all responses so far; undefined when no engine said any. */
  get usage(): Usage | undefined {
    return this.#usage;
  }

  count({ data, isText, isFromSocket }: PassingMessage): void {
    if (isFromSocket) {
      this.received += data.length;
      return;
    }
    this.sent += data.length;
    if (isText && data.length <= MAX_READ_BYTES) this.#read(data);
  }

  #read(data: Uint8Array): void {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    if (!bytes.includes(RESPONSE_DONE)) return;
    const event = parseJson(bytes.toString());
    if (!isRecord(event) || event["type"] !== "response.done") return;
    const usage = usageIn(event);
    if (usage !== undefined) this.#usage = sumOf(this.#usage ?? {}, usage);
  }
}

function sumOf(one: Usage, other: Usage): Usage {
  const sum: Record<string, number> = { ...one };
  for (const [name, count] of Object.entries(other)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}
