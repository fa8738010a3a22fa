import { type ChannelAnswer, ChannelError, type ChannelRequest } from "../channels/channel.ts";
import { AppError } from "../errors.ts";
import type { FleetTarget } from "../fleet/fleet-target.ts";
import { type AttemptResult, holdUntilContent, type WindowOptions } from "./commit-window.ts";

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

function failureOf(thrown: unknown, answer: ChannelAnswer | undefined): ChannelError {
  if (thrown instanceof ChannelError) return thrown;
  if (answer !== undefined) return answer.explain(thrown);
  return new ChannelError(new AppError("internal", undefined, { cause: thrown }), {
    retry: "never",
    reason: "internal",
  });
}
