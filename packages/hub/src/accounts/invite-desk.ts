import type { AuditActor } from "../store/audit-store.ts";
import type { AccessTransaction } from "../store/database.ts";
import type { UserRecord } from "../store/user-store.ts";

/** Invites as registration sees them. `groups/` has them; this room is below it. */
export interface InviteDesk {
  /** @throws AppError when the code would admit nobody now; `rate_limit_exceeded` for wrong ones again and again from `address`. */
  check(code: string, address: string): Promise<void>;

  /**
   * Uses the code for a user who was made in the same transaction, and writes that to the audit log.
   *
   * @throws AppError when somebody was faster; the transaction must then not be committed.
   */
  redeem(
    transaction: AccessTransaction,
    code: string,
    guest: { readonly user: UserRecord; readonly by: AuditActor },
    nowMs: number,
  ): Promise<void>;
}
