import type { Principal } from "../identity/principal.ts";
import type { RequestRecord } from "../observe/request-log.ts";

/** What a request may cost at most, before it runs. */
export interface AdmissionWish {
  readonly requestId: string;
  readonly principal: Principal;
  readonly model: string;
  /** Undefined: the client set no limit. */
  readonly maxTokens: number | undefined;
}

/** What was set aside for an admitted request. */
export interface Hold {
  readonly principal: Principal;
  /** Names and values, in turn, that tell the client of its limits. */
  readonly headers: readonly string[];
  /**
   * Where the request may be served now, in this order; asked before each attempt. What is given counts as used until `took`.
   *
   * @throws AppError `rate_limit_exceeded` when limits keep it out of all its groups; never where it `took` one before.
   */
  enter(): readonly string[];
  /** It is served in the group: the others are free again. */
  took(groupId: string): void;
  /** Once for each hold, whatever became of the request: charges what was used and frees the rest. Never throws. */
  settle(record: RequestRecord): void;
}

/** The door between a request and the books. */
export interface Admission {
  /** @throws AppError `model_not_found`, `rate_limit_exceeded`, `insufficient_quota`. */
  admit(wish: AdmissionWish): Hold;
}
