import type { Kysely } from "kysely";

import type { RequestRecord } from "../observe/request-log.ts";
import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import { ownersOfKeys } from "../store/audience-store.ts";
import type { Schema } from "../store/schema.ts";
import type { EventHub } from "./event-hub.ts";

/** Usage as events: requests are added up, so that a busy hub tells no more than a quiet one. */
export const USAGE_EVENT_LIMITS = {
  /** One event for each key and model so often. */
  everyMs: 1_000,
  /** Keys with models that are told of at a time; what is more is in the request log only. */
  maxRows: 500,
} as const;

interface Totals {
  readonly keyId: string;
  readonly model: string | undefined;
  requests: number;
  failed: number;
  inputTokens: number;
  outputTokens: number;
}

/** Adds up what requests used, and tells it once a second to those whose keys and groups they are. */
export class UsageEvents implements Disposable {
  readonly #events: EventHub;
  readonly #db: Kysely<Schema>;
  readonly #onFailure: (thrown: unknown) => void;
  #totals = new Map<string, Totals>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(events: EventHub, db: Kysely<Schema>, onFailure: (thrown: unknown) => void) {
    this.#events = events;
    this.#db = db;
    this.#onFailure = onFailure;
  }

  /** Costs nothing while nobody listens. */
  add(record: RequestRecord): void {
    const { keyId, model } = record;
    if (!this.#events.isHeard || keyId === undefined) return;
    const id = `${keyId} ${model ?? ""}`;
    const known = this.#totals.get(id);
    if (known === undefined && this.#totals.size >= USAGE_EVENT_LIMITS.maxRows) return;
    const totals = known ?? { keyId, model, requests: 0, failed: 0, inputTokens: 0, outputTokens: 0 };
    totals.requests += 1;
    totals.failed += Number(record.outcome !== "complete");
    totals.inputTokens += record.inputTokens ?? 0;
    totals.outputTokens += record.outputTokens ?? 0;
    this.#totals.set(id, totals);
    this.#tellSoon();
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** The timer stands for the telling, too, so that a slow database has one at a time to answer. */
  #tellSoon(): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => void this.#tellAndGoOn(), USAGE_EVENT_LIMITS.everyMs).unref();
  }

  /** Never rejects. */
  async #tellAndGoOn(): Promise<void> {
    try {
      await this.#tell();
    } catch (thrown) {
      this.#onFailure(thrown);
    }
    this.#timer = undefined;
    if (this.#totals.size > 0) this.#tellSoon();
  }

  async #tell(): Promise<void> {
    const told = [...this.#totals.values()];
    this.#totals = new Map();
    const owners = await ownersOfKeys(this.#db, [...new Set(told.map(({ keyId }) => keyId))]);
    for (const totals of told) {
      const owner = owners.get(totals.keyId);
      const groupId = owner?.groupId ?? OPERATOR_GROUP_ID;
      this.#events.publish({
        type: "usage",
        data: {
          key_id: totals.keyId,
          group_id: groupId,
          model: totals.model ?? null,
          requests: totals.requests,
          failed: totals.failed,
          input_tokens: totals.inputTokens,
          output_tokens: totals.outputTokens,
        },
        userIds: [owner?.ownerId],
        groupIds: [],
        // What was used in a second group is no business of the first one's owner, and which it was is not known here.
        ownersOf: owner?.hasFallback === true ? [] : [groupId],
      });
    }
  }
}
