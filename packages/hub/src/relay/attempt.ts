import {
  type ChannelAnswer,
  type ChannelConnection,
  ChannelError,
  type ChannelHandshake,
  type ChannelRequest,
} from "../channels/channel.ts";
import { AppError } from "../errors.ts";
import type { FleetTarget } from "../fleet/fleet-target.ts";
import { type AttemptResult, holdUntilContent, type WindowOptions } from "./commit-window.ts";
import type { HeldAnswer } from "./held-answer.ts";

/** Asks one target, and waits until its answer has content or has failed. Never throws: a failure is a result. */
export async function attempt(
  target: FleetTarget,
  request: ChannelRequest,
  options: WindowOptions,
  signal: AbortSignal,
): Promise<AttemptResult> {
  let answer: ChannelAnswer | undefined;
  try {
    answer = await target.channel.send(request, signal);
    return await holdUntilContent(answer, options);
  } catch (thrown) {
    return { outcome: "failed", failure: failureOf(thrown, answer) };
  }
}

/** Opens a WebSocket at one target. Any answer but 101 is held as that of an ordinary request. Never throws. */
export async function attemptConnection(
  target: FleetTarget,
  request: ChannelHandshake,
  signal: AbortSignal,
): Promise<AttemptResult<ChannelConnection | HeldAnswer>> {
  let answer: ChannelAnswer | undefined;
  try {
    const connection = await target.channel.connect(request, signal);
    answer = connection.answer;
    if (answer.status === SWITCHING_PROTOCOLS) return { outcome: "answered", answer: connection };
    return await holdUntilContent(answer, { dialect: "plain", hidesUsage: false });
  } catch (thrown) {
    return { outcome: "failed", failure: failureOf(thrown, answer) };
  }
}

const SWITCHING_PROTOCOLS = 101;

function failureOf(thrown: unknown, answer: ChannelAnswer | undefined): ChannelError {
  if (thrown instanceof ChannelError) return thrown;
  if (answer !== undefined) return answer.explain(thrown);
  return new ChannelError(new AppError("internal", undefined, { cause: thrown }), {
    retry: "never",
    reason: "internal",
  });
}
