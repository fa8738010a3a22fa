import { AppError } from "../errors.ts";
import type { Principal } from "../identity/principal.ts";
import type { RequestRecord } from "../observe/request-log.ts";
import type { MemberLimits } from "../store/member-limits.ts";
import type { Admission, AdmissionWish, Hold } from "./admission.ts";
import { type LimitLeft, type LimitReached, Meter, WINDOW_MS } from "./meter.ts";

const NO_HEADERS: readonly string[] = [];

/**
 * Admits what a key's own list of models and its limits allow, and those of its owner as a member of the group. There are no
 * prices yet. Everything is in memory: a restart forgives what was used in the last minute.
 */
export class LimitedAdmission implements Admission {
  readonly #meters: Meters;

  /** @param nowMs A monotonic clock. */
  constructor(nowMs: () => number) {
    this.#meters = new Meters(nowMs);
  }

  /** Keys and members whose use is counted now: those that have limits, and ran something within the last minute. */
  get size(): number {
    return this.#meters.size;
  }

  admit(wish: AdmissionWish): Hold {
    const { principal, model } = wish;
    if (!principal.allowsModel(model)) throw notAllowed(model);
    return isUnlimited(principal) ? new FreeHold(principal) : new LimitedHold(wish, this.#meters);
  }
}

/** The common case costs one small object. */
class FreeHold implements Hold {
  readonly principal: Principal;
  readonly headers = NO_HEADERS;

  constructor(principal: Principal) {
    this.principal = principal;
  }

  enter(): readonly string[] {
    return this.principal.groupIds;
  }

  took(): void {}

  settle(): void {}
}

interface Entered {
  readonly groupId: string;
  readonly meter: Meter;
  readonly limits: MemberLimits;
}

class LimitedHold implements Hold {
  readonly principal: Principal;
  readonly headers: readonly string[];
  readonly #meters: Meters;
  readonly #key: Meter;
  readonly #keyLimits: MemberLimits;
  readonly #maxTokens: number;
  /** Groups that count the request now. */
  #entered: Entered[] = [];

  /** @throws AppError `rate_limit_exceeded` */
  constructor({ principal, maxTokens = 0 }: AdmissionWish, meters: Meters) {
    this.principal = principal;
    this.#maxTokens = maxTokens;
    this.#meters = meters;
    this.#keyLimits = principal.limits ?? {};
    this.#key = meters.of(principal);
    const nowMs = meters.now();
    const reached = this.#key.refusal(this.#keyLimits, nowMs);
    if (reached !== undefined) {
      throw refusal(reached, "this API key", this.#key.left(this.#keyLimits, nowMs));
    }
    this.#key.enter(this.#keyLimits, nowMs);
    this.headers = leftHeaders(this.#key.left(this.#keyLimits, nowMs));
  }

  enter(): readonly string[] {
    const nowMs = this.#meters.now();
    let first: AppError | undefined;
    const open = this.principal.groupIds.filter((groupId) => {
      if (this.#entered.some((each) => each.groupId === groupId)) return true;
      const member = this.principal.memberOf(groupId);
      if (member === undefined || isEmpty(member.limits)) return true;
      const meter = this.#meters.of(member);
      const reached = meter.refusal(member.limits, nowMs);
      if (reached === undefined) {
        meter.enter(member.limits, nowMs);
        this.#entered.push({ groupId, meter, limits: member.limits });
        return true;
      }
      first ??= refusal(reached, "all keys of its owner in the group", meter.left(member.limits, nowMs));
      return false;
    });
    if (open.length === 0 && first !== undefined) throw first;
    return open;
  }

  took(groupId: string): void {
    if (this.#entered.length === 0) return;
    const nowMs = this.#meters.now();
    for (const each of this.#entered) if (each.groupId !== groupId) each.meter.undo(each.limits, nowMs);
    this.#entered = this.#entered.filter((each) => each.groupId === groupId);
  }

  settle({ inputTokens = 0, outputTokens = 0, requestBytes, responseBytes }: RequestRecord): void {
    const nowMs = this.#meters.now();
    // Workers say what they like. A token is at least a byte; thoughts that are not sent stay within what the client allowed.
    const tokens =
      Math.min(inputTokens, requestBytes) + Math.min(outputTokens, Math.max(responseBytes, this.#maxTokens));
    this.#key.leave();
    this.#key.charge(tokens, this.#keyLimits, nowMs);
    for (const { meter, limits } of this.#entered) {
      meter.leave();
      meter.charge(tokens, limits, nowMs);
    }
    this.#entered = [];
  }
}

/** By whom: a key or a member, which are the same object each time. */
class Meters {
  readonly now: () => number;
  /** Who used theirs longest ago comes first. */
  readonly #meters = new Map<object, Meter>();

  constructor(now: () => number) {
    this.now = now;
  }

  get size(): number {
    return this.#meters.size;
  }

  of(who: object): Meter {
    const nowMs = this.now();
    const meter = this.#meters.get(who) ?? new Meter();
    meter.lastUsedMs = nowMs;
    this.#meters.delete(who);
    this.#meters.set(who, meter);
    this.#forgetIdle(nowMs);
    return meter;
  }

  /** Whoever did nothing for a minute has all of their limits again. At most one comes at a time, so that two are enough. */
  #forgetIdle(nowMs: number): void {
    let looked = 0;
    for (const [who, meter] of this.#meters) {
      if (looked === 2) return;
      looked += 1;
      if (meter.running === 0 && nowMs - meter.lastUsedMs < WINDOW_MS) return;
      this.#meters.delete(who);
      // What runs is looked at again when it is its turn.
      if (meter.running > 0) this.#meters.set(who, meter);
    }
  }
}

function isUnlimited(principal: Principal): boolean {
  if (principal.limits !== undefined) return false;
  for (const groupId of principal.groupIds) {
    const limits = principal.memberOf(groupId)?.limits;
    if (limits !== undefined && !isEmpty(limits)) return false;
  }
  return true;
}

function isEmpty({ requestsPerMinute, tokensPerMinute, concurrency }: MemberLimits): boolean {
  return (requestsPerMinute ?? tokensPerMinute ?? concurrency) === undefined;
}

const UNITS: Readonly<Record<keyof MemberLimits, string>> = {
  requestsPerMinute: "requests per minute",
  tokensPerMinute: "tokens per minute",
  concurrency: "requests at the same time",
};

type Left = ReturnType<Meter["left"]>;

function refusal({ limit, allowed, waitMs }: LimitReached, who: string, left: Left): AppError {
  const seconds = Math.min(Math.max(Math.ceil((waitMs ?? 1_000) / 1_000), 1), WINDOW_MS / 1_000);
  const headers = leftHeaders(left);
  const message = `Rate limit reached: ${allowed} ${UNITS[limit]} for ${who}. Try again in ${seconds} s.`;
  return new AppError("rate_limit_exceeded", message, {
    retryAfter: seconds,
    headers: Object.fromEntries(
      Array.from({ length: headers.length / 2 }, (_, n) => [headers[2 * n] ?? "", headers[2 * n + 1] ?? ""]),
    ),
  });
}

/** As OpenAI's API has them (OpenAI API reference, "Rate limits", headers). */
function leftHeaders({ requests, tokens }: Left): readonly string[] {
  if (requests === undefined && tokens === undefined) return NO_HEADERS;
  return [...headersOf("requests", requests), ...headersOf("tokens", tokens)];
}

function headersOf(unit: string, left: LimitLeft | undefined): readonly string[] {
  if (left === undefined) return NO_HEADERS;
  const { limit, remaining, resetMs } = left;
  return [
    `x-ratelimit-limit-${unit}`,
    `${limit}`,
    `x-ratelimit-remaining-${unit}`,
    `${remaining}`,
    `x-ratelimit-reset-${unit}`,
    `${Math.ceil(resetMs)}ms`,
  ];
}

/** The list is the key's own, so this says nothing of what is served anywhere. */
function notAllowed(model: string): AppError {
  const message = `This API key may not use the model "${model}". GET /v1/models lists those it may.`;
  return new AppError("model_not_found", message, { param: "model" });
}
