import type { GroupEntry, KeyEntry } from "./access-entries.ts";

/**
 * Why a worker does not serve a group that it, or its key, names. Of a group that its owner may not see nothing is said but
 * `not-allowed`, as of one that does not exist.
 */
export type WhyNotServed =
  | "not-allowed"
  /** Its owner may serve there, but the key is for other groups. */
  | "not-allowed-by-key"
  /** Its owner is a mere member. */
  | "not-a-provider"
  /** A public group, where whoever runs the hub lets nobody in without being asked. */
  | "not-approved";

export interface NotServed {
  /** An id or a slug, as it was named. */
  readonly group: string;
  /** What people call it, when its owner may see it. */
  readonly slug: string | undefined;
  readonly why: WhyNotServed;
}

export interface NotServedAsked {
  readonly key: KeyEntry;
  readonly named: readonly string[];
  /** Ids. */
  readonly served: readonly string[];
  /** Groups that the key's owner may see without being a member, unless they are banned. */
  readonly open: readonly GroupEntry[];
  readonly nowMs: number;
}

/** What became of the groups that are named and not served. Only groups that the key's owner may see are looked at. */
export function notServedOf({ key, named, served, open, nowMs }: NotServedAsked): readonly NotServed[] {
  const { memberships } = key.owner;
  const seen = new Set(open);
  for (const each of memberships) {
    if (each.mayUse(nowMs)) seen.add(each.group);
    else seen.delete(each.group);
  }
  const good = [...seen].filter(({ isGood }) => isGood);
  const byName = new Map(good.flatMap((group) => [[group.id, group] as const, [group.slug, group] as const]));
  const provides = (group: GroupEntry): boolean =>
    memberships.some((each) => each.group === group && each.provides(nowMs)) ||
    (key.owner.isOperator && group.ownerId === "");
  const refused: NotServed[] = [];
  for (const name of named) {
    const group = byName.get(name);
    if (served.includes(group?.id ?? name)) continue;
    if (group === undefined) refused.push({ group: name, slug: undefined, why: "not-allowed" });
    else refused.push({ group: name, slug: group.slug, why: provides(group) ? "not-allowed-by-key" : whyNot(group) });
  }
  return refused;
}

function whyNot({ kind }: GroupEntry): WhyNotServed {
  return kind === "public" ? "not-approved" : "not-a-provider";
}
