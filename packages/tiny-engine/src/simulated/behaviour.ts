import * as z from "zod";

import { RequestError } from "../http/request-error.ts";

const count = z.int().min(0).max(1_000_000);
/** A place in the answer: a number of tokens, or -1 for before the head. */
const place = z.int().min(-1).max(1_000_000);
const milliseconds = z.number().min(0).max(600_000);
const flag = z.boolean();

const behaviour = z.strictObject({
  tokens: count.exactOptional(),
  chunkBytes: z.int().min(1).max(65_536).exactOptional(),
  intervalMs: milliseconds.exactOptional(),
  headMs: milliseconds.exactOptional(),
  firstTokenMs: milliseconds.exactOptional(),
  status: z.int().min(200).max(599).exactOptional(),
  stallAfter: place.exactOptional(),
  cutAfter: place.exactOptional(),
  resetAfter: place.exactOptional(),
  closeAfter: place.exactOptional(),
  closeCode: z.int().min(1000).max(4999).exactOptional(),
  closeReason: z.string().max(120).exactOptional(),
  errorMidStream: count.exactOptional(),
  contentLengthLie: z.int().min(-1_000_000).max(1_000_000).exactOptional(),
  byteAtATime: flag.exactOptional(),
  toolCalls: flag.exactOptional(),
  reasoning: flag.exactOptional(),
  oddSse: flag.exactOptional(),
  usage: flag.exactOptional(),
  noDone: flag.exactOptional(),
  emptyAnswer: flag.exactOptional(),
  errorIn200: flag.exactOptional(),
  stopReadingAfter: z.int().min(0).exactOptional(),
});

/**
 * How the simulated engine answers one request. All fields are optional; an empty object is a good engine.
 *
 * - `tokens` (20): length of the answer; the request's `max_tokens` may shorten it, as with a real engine.
 * - `chunkBytes`: every token's event is padded to this many bytes in total (chat only below the usual size of 160).
 * - `headMs`, `firstTokenMs`, `intervalMs` (0): the wait before the head, before the first token, between two tokens.
 * - `status`: answer with this status and an OpenAI error (200 to 299: the usual answer under that status).
 * - `stallAfter`, `cutAfter`, `resetAfter`: after so many tokens fall silent, end the connection without the end of
 *   the answer, or reset it. -1: before the head.
 * - `closeAfter`, `closeCode` (1000), `closeReason`: WebSocket only, after so many messages. There `stallAfter`, `cutAfter`
 *   and `resetAfter` count messages, and `status` refuses the handshake.
 * - `errorMidStream`: after so many tokens an error event, then the end without `[DONE]`.
 * - `contentLengthLie`: announce so many bytes more (or fewer) than are sent.
 * - `byteAtATime`: every byte of the body in its own write and HTTP chunk.
 * - `toolCalls`, `reasoning`: the tokens are a tool call's arguments; the first half of them is reasoning.
 * - `oddSse`: CRLF, comments, fields without a space, `id:`/`event:` fields, data over several lines.
 * - `usage`: always or never report usage (default: what `stream_options.include_usage` asks).
 * - `noDone`: no `[DONE]`. `emptyAnswer`: an answer without content. `errorIn200`: an error under status 200.
 * - `stopReadingAfter`: read so many bytes of the upload, then no more (only by header or engine default).
 */
export type Behaviour = z.infer<typeof behaviour>;

/** @throws RequestError naming every field that is not a behaviour. */
export function parseBehaviour(value: unknown): Behaviour {
  const result = behaviour.safeParse(value);
  if (!result.success) throw new RequestError(400, "bad_simulate", `Bad "simulate": ${z.prettifyError(result.error)}`);
  return result.data;
}

/** The behaviour in an `x-simulate` header. @throws RequestError when it is not JSON or not a behaviour. */
export function parseBehaviourHeader(header: string): Behaviour {
  let value: unknown;
  try {
    value = JSON.parse(header);
  } catch {
    throw new RequestError(400, "bad_simulate", "The header x-simulate is not JSON.");
  }
  return parseBehaviour(value);
}
