import * as z from "zod";

/** More than any hub does; keeps sums of limits exact. */
const MAX_LIMIT = 1_000_000_000_000;

const limit = z.int().min(1).max(MAX_LIMIT).exactOptional();

/** What one member may use of a group. What is absent is not limited. Unknown keys are dropped: a newer hub may have written them. */
const MEMBER_LIMITS = z.object({ requestsPerMinute: limit, tokensPerMinute: limit, concurrency: limit });

export type MemberLimits = Readonly<z.infer<typeof MEMBER_LIMITS>>;

/** What the column holds. */
export function parseMemberLimits(json: string): MemberLimits {
  return MEMBER_LIMITS.parse(JSON.parse(json));
}

/** What holds for one member: each of their own limits, else the group's. */
export function limitsOf(group: MemberLimits, own: MemberLimits | undefined): MemberLimits {
  return own === undefined ? group : { ...group, ...own };
}
