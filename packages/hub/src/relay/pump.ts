import { AppError } from "../errors.ts";
import type { Reply } from "../http/reply.ts";
import type { Deadline } from "./deadline.ts";
import { headersForClient, SSE_HEADERS } from "./headers.ts";
import type { HeldAnswer } from "./held-answer.ts";
import type { Run } from "./run.ts";
import type { Passed } from "./sse-reader.ts";

/** A client that takes nothing for so long holds an engine for nobody. */
export const SLOW_CONSUMER_MS = 60_000;

export interface PumpContext {
  readonly run: Run;
  readonly deadline: Deadline;
  /** Longest silence of the engine. */
  readonly idleMs: number;
}

/**
 * Gives an answer to the client: its head, what was held, then each chunk as it comes, as fast as the client takes them.
 * Resolves with whether the engine ended its answer, too. False: it may go on, for nobody.
 *
 * @throws AppError when the answer breaks off or is not complete. What was sent then is not a whole answer, and the door
 *   makes that visible.
 */
export async function pump(answer: HeldAnswer, context: PumpContext): Promise<boolean> {
  const { run } = context;
  const { reply } = run;
  run.throwIfCancelled();
  run.usage = () => answer.reader.usage;
  const isGiven = sendHead(answer, context);
  run.firstByteAt = performance.now();
  if (!isGiven || answer.rest === undefined) {
    endWhole(isGiven ? answer.held : [], reply);
    return answer.isEnded;
  }
  if (!writeAll(answer.held, reply)) await untilDrained(reply, context);
  const end = await pumpRest(answer, answer.rest, context);
  if (end === "told") run.failed(new AppError("upstream_error"));
  reply.end();
  return end === "complete";
}

/** False: the answer had to become an error event, and nothing follows. */
function sendHead(answer: HeldAnswer, { run }: PumpContext): boolean {
  const { reply } = run;
  if (reply.form.is === "unsent") {
    const headers = headersForClient(answer.headers, { hidesLimits: run.hold?.headers.length !== 0 });
    if (answer.form === "events") headers.push(...SSE_HEADERS);
    else if (answer.length !== undefined) headers.push("content-length", String(answer.length));
    headers.push("x-tokilake-worker", workerHeader(run), "server-timing", serverTiming(run));
    const { dialect } = run.operation;
    reply.head(answer.status, headers, answer.form === "events" ? { is: "sse", dialect } : { is: "opaque" });
    return true;
  }
  // A keep-alive comment sent the head already, so what is no event stream cannot be given as it is.
  reply.stopKeepAlive();
  if (answer.form === "events") return true;
  if (answer.status < 400 || answer.rest !== undefined) {
    throw new AppError("upstream_error", "The engine answered a streamed request without a stream.");
  }
  run.failed(new AppError("upstream_error"));
  reply.write(`data: ${oneLine(answer.held)}\n\n`);
  return false;
}

function endWhole(held: readonly Uint8Array[], reply: Reply): void {
  if (held.length <= 1) return reply.end(held[0]);
  writeAll(held, reply);
  reply.end();
}

/** `told`: the engine told its failure inside the stream, and the client has it. */
async function pumpRest(
  answer: HeldAnswer,
  rest: NonNullable<HeldAnswer["rest"]>,
  context: PumpContext,
): Promise<"complete" | "told"> {
  const { deadline, run } = context;
  const { reader, length } = answer;
  deadline.expect(context.idleMs, () => idleError(context.idleMs));
  let received = sizeOf(answer.held);
  for (;;) {
    const next = await nextOf(rest);
    if (next.done === true) break;
    deadline.touch();
    received += next.value.length;
    // More than was announced would be read as the start of the next answer on this connection.
    if (length !== undefined && received > length) throw new AppError("upstream_incomplete");
    const passed = reader.push(next.value);
    if (!writePassed(passed, run.reply)) await untilDrained(run.reply, context);
    if (reader.state === "failed") return "told";
  }
  writePassed(reader.end(), run.reply);
  if (length !== undefined && received !== length) throw new AppError("upstream_incomplete");
  return endOf(answer);
}

/** A body that ended cleanly may still be half an answer. */
function endOf({ reader }: HeldAnswer): "complete" | "told" {
  if (reader.state === "failed") return "told";
  if (reader.state === "terminated") return "complete";
  throw new AppError("upstream_incomplete");
}

async function nextOf(rest: NonNullable<HeldAnswer["rest"]>): Promise<IteratorResult<Uint8Array, unknown>> {
  try {
    return await rest.body.next();
  } catch (thrown) {
    throw rest.explain(thrown).error;
  }
}

function writePassed(passed: Passed, reply: Reply): boolean {
  return writeAll(passed.bytes, reply);
}

/** False: the client does not keep up. */
function writeAll(chunks: readonly Uint8Array[], reply: Reply): boolean {
  let hasRoom = true;
  for (const chunk of chunks) hasRoom = reply.write(chunk);
  return hasRoom;
}

async function untilDrained(reply: Reply, { deadline, idleMs, run }: PumpContext): Promise<void> {
  deadline.expect(SLOW_CONSUMER_MS, () => new AppError("slow_consumer"));
  await reply.drained();
  run.throwIfCancelled();
  deadline.expect(idleMs, () => idleError(idleMs));
}

function idleError(idleMs: number): AppError {
  return new AppError("upstream_timeout", `The engine sent nothing for ${idleMs / 1000} s.`);
}

function sizeOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

/** The worker that answers, for a header. */
export function workerHeader(run: Run): string {
  // A name may have any character; a header value may not.
  return encodeURI(run.target?.workerId ?? "");
}

/** W3C Server Timing: what the hub itself took, and what it waited for. */
function serverTiming(run: Run): string {
  const total = performance.now() - run.startedAt;
  return `hub;dur=${(total - run.upstreamMs).toFixed(2)}, upstream;dur=${run.upstreamMs.toFixed(2)}`;
}

/** JSON without line ends, which would end the event. Inside strings JSON has none. */
function oneLine(chunks: readonly Uint8Array[]): string {
  return Buffer.concat(chunks)
    .toString("utf8")
    .replaceAll(/[\r\n]+/g, " ");
}
