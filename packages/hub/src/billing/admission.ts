import type { Principal } from "../identity/key-ring.ts";
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
  /** Once for each hold, whatever became of the request: charges what was used and frees the rest. Never throws. */
  settle(record: RequestRecord): void;
}

/** The door between a request and the books. */
export interface Admission {
  /** @throws AppError `insufficient_quota`. */
  admit(wish: AdmissionWish): Hold;
}

const NOTHING_HELD: Hold = {
  settle() {
    // Nothing was set aside, so nothing is charged. What was used stands in the request log.
  },
};

/** Admits everything and charges nothing: there are no prices yet. */
export const FREE_ADMISSION: Admission = { admit: () => NOTHING_HELD };
