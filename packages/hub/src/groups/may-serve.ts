import type { Kysely } from "kysely";

import { findGroup } from "../store/group-store.ts";
import { findMembership, isActiveMembership } from "../store/membership-store.ts";
import type { Schema } from "../store/schema.ts";
import { userById } from "../store/user-store.ts";

/**
 * Whether a user's workers may serve into a group: its owner and its providers may; whoever runs the hub may where the group
 * belongs to the operator. Running hubs ask the Directory instead, which says the same from memory.
 *
 * @param userId undefined: the operator.
 */
export async function mayServe(
  db: Kysely<Schema>,
  by: { readonly userId: string | undefined; readonly groupId: string },
  nowMs: number,
): Promise<boolean> {
  const { userId, groupId } = by;
  const group = await findGroup(db, groupId);
  if (group === undefined) return false;
  const isOperators = group.ownerId === undefined;
  if (userId === undefined) return isOperators;
  const user = await userById(db, userId);
  if (user === undefined || user.disabledAtMs !== undefined) return false;
  const membership = await findMembership(db, { groupId, userId });
  if (membership?.status === "banned") return false;
  if (isOperators && (user.role === "root" || user.role === "admin")) return true;
  return membership !== undefined && membership.role !== "member" && isActiveMembership(membership, nowMs);
}
