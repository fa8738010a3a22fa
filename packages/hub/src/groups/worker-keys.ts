import { AppError } from "../errors.ts";
import { KEY_LIMITS } from "../identity/key-checks.ts";
import { hashOfSecret, newKeySecret, shownPrefix } from "../identity/key-secret.ts";
import { shownKey } from "../identity/shown-key.ts";
import { newId } from "../new-id.ts";
import { audit, type AuditActor } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import type { GroupRecord } from "../store/group-store.ts";
import { countLiveKeys, insertKey } from "../store/key-store.ts";
import { mayServe } from "./may-serve.ts";

/** A machine's key, and where it serves. The secret is only here, and can never be read again. */
export interface JoinedWorker {
  readonly keyId: string;
  readonly secret: string;
  readonly group: GroupRecord;
}

/**
 * Makes the key of a machine that joined: it belongs to the user, and serves this group alone.
 *
 * @param wanted.by For the audit log.
 * @throws AppError `forbidden` when the user may not serve there (any more), `conflict` when they have too many keys
 */
export async function issueWorkerKey(
  transaction: AccessTransaction,
  wanted: {
    readonly by: AuditActor;
    readonly userId: string;
    readonly group: GroupRecord;
    /** The key's name. */
    readonly machine: string;
  },
  nowMs: number,
): Promise<JoinedWorker> {
  const { db } = transaction;
  const { by, userId, group, machine } = wanted;
  if (!(await mayServe(db, { userId, groupId: group.id }, nowMs))) {
    throw new AppError("forbidden", "You may not serve into this group. Its owner can make you a provider.");
  }
  if ((await countLiveKeys(db, userId)) >= KEY_LIMITS.maxKeysPerUser) {
    throw new AppError("conflict", `A user has at most ${KEY_LIMITS.maxKeysPerUser} keys. Revoke one first.`);
  }
  const secret = newKeySecret("worker");
  const key = await insertKey(transaction, {
    id: newId("key", nowMs),
    kind: "worker",
    name: machine,
    prefix: shownPrefix(secret),
    hash: hashOfSecret(secret),
    createdAtMs: nowMs,
    ownerId: userId,
    rules: { serveGroups: [group.id] },
  });
  await audit(db, by, { action: "key.create", objectType: "key", objectId: key.id, after: shownKey(key) }, nowMs);
  return { keyId: key.id, secret, group };
}
