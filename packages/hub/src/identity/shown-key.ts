import { formatCredits } from "../credits.ts";
import type { AuditValues } from "../store/audit-store.ts";
import type { KeyRecord } from "../store/key-store.ts";

/** What the audit log says of a key: nothing that opens a door. */
export function shownKey(key: KeyRecord): AuditValues {
  return {
    kind: key.kind,
    name: key.name,
    prefix: key.prefix,
    ownerId: key.ownerId,
    groupId: key.groupId,
    fallbackGroupId: key.fallbackGroupId,
    expiresAtMs: key.expiresAtMs,
    spendingLimit: key.spendingLimit === undefined ? undefined : formatCredits(key.spendingLimit),
    rules: key.rules,
    disabledAtMs: key.disabledAtMs,
    previousUntilMs: key.previousUntilMs,
  };
}
