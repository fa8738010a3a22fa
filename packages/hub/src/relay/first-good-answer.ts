import type { Hold } from "../billing/admission.ts";
import type { ChannelError } from "../channels/channel.ts";
import { AppError } from "../errors.ts";
import type { FleetTarget } from "../fleet/fleet-target.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Dispatcher } from "../routing/dispatcher.ts";
import { QUEUE_LIMITS } from "../routing/slot-queue.ts";
import type { AttemptResult } from "./commit-window.ts";
import type { Deadline } from "./deadline.ts";
import type { HeldAnswer } from "./held-answer.ts";
import type { Run } from "./run.ts";

/** A request asks so many targets before its last failure is the answer. Asking one that may do better counts once. */
const MAX_ATTEMPTS = 3;

/**
 * What a failed attempt may be followed by. `until-content`: another target, as long as the client has no content; the first
 * engine may have worked for nothing. `if-unseen`: another target only when the first engine saw nothing of the request.
 */
export type RetryPolicy = "until-content" | "if-unseen";

export interface AttemptDeps {
  readonly dispatcher: Dispatcher;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly retry: RetryPolicy;
}

export interface AttemptPlan<A> {
  readonly run: Run;
  readonly hold: Hold;
  readonly model: string;
  readonly deadline: Deadline;
  readonly firstTokenMs: number;
  /** One attempt. Never throws. */
  ask(target: FleetTarget, signal: AbortSignal): Promise<AttemptResult<A>>;
  /** The rest of the body is on its way to an engine, so nobody can send it again. */
  readonly isBodySpent: () => boolean;
}

/**
 * The first answer with content, from whichever target gives one. Its slot stays taken: the run gives it back.
 *
 * @throws AppError when no target can be asked, or the last failure when all that were asked failed.
 */
export async function firstGoodAnswer<A>(deps: AttemptDeps, plan: AttemptPlan<A>): Promise<A | HeldAnswer> {
  const { run, hold, model, deadline } = plan;
  const { principal } = hold;
  const { method, path } = run.operation;
  const tried = new Set<FleetTarget>();
  const secondChances = new SecondChances(deps.dispatcher);
  let last: { readonly failure: ChannelError; readonly answer?: HeldAnswer } | undefined;
  for (;;) {
    const signal = run.beginAttempt();
    const { maxWaitMs } = secondChances;
    const isRetry = last !== undefined;
    const groupIds = hold.enter();
    const wish = { principal, groupIds, model, method, path, tried, isRetry, maxWaitMs };
    const place = await deps.dispatcher.acquire(wish, signal);
    if (place === undefined) return lastWord(last);
    const { target } = place;
    run.take(place);
    hold.took(place.groupId);
    deadline.expect(plan.firstTokenMs, () => silent(plan.firstTokenMs));
    const askedAt = performance.now();
    const result = await plan.ask(target, signal);
    run.upstreamMs += performance.now() - askedAt;
    if (result.outcome === "answered") return result.answer;
    last = result;
    report(deps, run, result.failure);
    run.giveUp(result.failure.error);
    if (!secondChances.has(target, result.failure)) tried.add(target);
    const isLast = tried.size === MAX_ATTEMPTS || !mayRetry(result.failure, deps.retry, plan);
    if (isLast) return lastWord(last);
    run.releaseSlot(deps.dispatcher);
  }
}

/**
 * When a target that failed may be asked again: once when a connection to it was lost and another leads there, and for as
 * long as a request may wait when it had no room. Its slots are also taken by its owner, and by the hub whose place this takes.
 */
class SecondChances {
  readonly #dispatcher: Dispatcher;
  readonly #lost = new Set<FleetTarget>();
  #waitsUntil: number | undefined;

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  /** How long the request may wait for a slot from now on. */
  get maxWaitMs(): number {
    if (this.#waitsUntil === undefined) return QUEUE_LIMITS.maxWaitMs;
    return Math.max(0, this.#waitsUntil - performance.now());
  }

  has(target: FleetTarget, { sameAgain }: ChannelError): boolean {
    if (sameAgain === undefined || !target.isAccepting) return false;
    if (sameAgain === "later") return this.#mayWaitFor(target);
    const isFirst = !this.#lost.has(target);
    this.#lost.add(target);
    return isFirst;
  }

  #mayWaitFor(target: FleetTarget): boolean {
    this.#dispatcher.rest(target);
    this.#waitsUntil ??= performance.now() + QUEUE_LIMITS.maxWaitMs;
    return this.maxWaitMs > 0;
  }
}

function mayRetry(
  failure: ChannelError,
  policy: RetryPolicy,
  plan: Pick<AttemptPlan<unknown>, "isBodySpent">,
): boolean {
  if (plan.isBodySpent()) return false;
  return failure.retry === "always" || (failure.retry === "unless-content" && policy === "until-content");
}

/** What the client gets when nobody did better: what the last engine said, else why there is nothing. */
function lastWord(last: { readonly failure: ChannelError; readonly answer?: HeldAnswer } | undefined): HeldAnswer {
  if (last === undefined) throw new AppError("no_worker", undefined, { retryAfter: 5 });
  if (last.answer !== undefined) return last.answer;
  throw last.failure.error;
}

function report(deps: AttemptDeps, run: Run, failure: ChannelError): void {
  deps.metrics.attemptFailed(failure.reason);
  const { requestId, target, attempts } = run;
  const fields = {
    requestId,
    workerId: target?.workerId,
    target: target?.name,
    attempt: attempts,
    reason: failure.reason,
  };
  deps.log.info({ ...fields, cause: failure.message }, "attempt failed");
}

function silent(ms: number): AppError {
  return new AppError("upstream_timeout", `The engine gave no content within ${ms / 1000} s.`);
}
