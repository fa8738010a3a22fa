import * as z from "zod";

import type { DeviceJoinDeps } from "../groups/device-joins.ts";
import { GROUP_LIMITS } from "../groups/group-limits.ts";
import type { GroupWorkersDeps } from "../groups/group-workers.ts";
import type { GroupRecord } from "../store/group-store.ts";
import type { MemberLimits } from "../store/member-limits.ts";

/** What the routes of groups, members and invites work with. */
export interface GroupServices {
  readonly groups: DeviceJoinDeps & GroupWorkersDeps;
}

/** An id of ours in an address. */
export const ID = z.string().max(64);
export const GROUP_ID = z.strictObject({ id: ID });
export const MEMBER_ID = z.strictObject({ id: ID, user_id: ID });

export const KIND = z.enum(["operator", "public", "private"]);
export const ROLE = z.enum(["owner", "provider", "member"]);
/** What can be given; an owner is made by giving the group away. */
export const GIVEN_ROLE = z.enum(["provider", "member"]);

/** Epoch milliseconds. */
export const TIME = z.int().min(0).max(8_640_000_000_000_000);
export const NOTE = z.string().max(GROUP_LIMITS.maxNoteLength);

const LIMIT = z.int().min(1).max(1_000_000_000_000).nullable();

export const LIMITS = z
  .object({ requests_per_minute: LIMIT, tokens_per_minute: LIMIT, concurrency: LIMIT })
  .meta({ id: "MemberLimits" });

/** As a body: what is left out or null is not limited. */
export const LIMITS_INPUT = z.strictObject({
  requests_per_minute: LIMIT.exactOptional(),
  tokens_per_minute: LIMIT.exactOptional(),
  concurrency: LIMIT.exactOptional(),
});

/** A group as others name it. */
export const GROUP_REFERENCE = z.object({ id: z.string(), slug: z.string(), name: z.string() });

export function toReference({ id, slug, name }: GroupRecord): z.input<typeof GROUP_REFERENCE> {
  return { id, slug, name };
}

export function toLimits(limits: MemberLimits): z.input<typeof LIMITS> {
  const { requestsPerMinute, tokensPerMinute, concurrency } = limits;
  return {
    requests_per_minute: requestsPerMinute ?? null,
    tokens_per_minute: tokensPerMinute ?? null,
    concurrency: concurrency ?? null,
  };
}

export function fromLimits(input: z.output<typeof LIMITS_INPUT>): MemberLimits {
  const { requests_per_minute: requests, tokens_per_minute: tokens, concurrency } = input;
  return {
    ...(requests != null && { requestsPerMinute: requests }),
    ...(tokens != null && { tokensPerMinute: tokens }),
    ...(concurrency != null && { concurrency }),
  };
}
