import type { WhyNotServed } from "../identity/not-served.ts";

/** What one notice to a worker holds: names have 256 bytes, each of which may need a backslash. */
export const NOTICE_LIMITS = {
  /** Groups; of the others it says how many there are. */
  maxGroups: 20,
  /** Names of models that are not served, of all groups together. Each list also says how many there are. Worst case: 30 KB. */
  maxNames: 30,
  /** Of one list. */
  maxNamesEach: 10,
  /** Notices to one worker are at least so far apart. */
  spacingMs: 1_000,
} as const;

/** Why a model that a worker announced is not served in a group where it serves. */
export type WhyRefused =
  /** The name, in whatever spelling, is somebody else's there. */
  | "taken"
  /** Its owner keeps as many names there as one may. */
  | "too-many"
  /** It is not what it looks like. */
  | "misleading"
  /** The worker's key is for other models. */
  | "not-allowed-by-key";

/** Names of a worker's models that are not served in a group. Never whose they are. */
export interface RefusedModels {
  readonly why: WhyRefused;
  readonly models: readonly string[];
}

/** A group that a worker names, or serves without naming it. */
export type NoticeGroup =
  | { readonly group: string; readonly served: number; readonly refused: readonly RefusedModels[] }
  | { readonly group: string; readonly why: WhyNotServed };

/**
 * What a worker is told of what it serves where, within {@link NOTICE_LIMITS}. Groups and models are in order, so that two notices
 * that say the same are the same. Specified in docs/protocol.md, "What a hub tells".
 */
export function servedNotice(groups: readonly NoticeGroup[]): object {
  const { maxGroups, maxNames, maxNamesEach } = NOTICE_LIMITS;
  const sorted = groups.toSorted((one, other) => (one.group < other.group ? -1 : 1));
  let room: number = maxNames;
  const listed = sorted.slice(0, maxGroups).map((each) => {
    if ("why" in each) return { group: each.group, why: each.why };
    const refused = each.refused
      .filter(({ models }) => models.length > 0)
      .map(({ why, models }) => {
        const names = models.toSorted().slice(0, Math.min(room, maxNamesEach));
        room -= names.length;
        return { why, count: models.length, models: names };
      });
    return { group: each.group, served: each.served, refused };
  });
  const more = sorted.length - listed.length;
  return { kind: "served", groups: listed, ...(more > 0 && { more }) };
}
