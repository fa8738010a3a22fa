import type { PublicUrl } from "../accounts/public-url.ts";
import type { Database } from "../store/database.ts";

/** What an operator sets about groups. */
export interface GroupSettings {
  /** Groups that one user owns. */
  readonly maxGroupsPerUser: number;
  /** Active members of one group, its owner included. */
  readonly maxMembersPerGroup: number;
  /** Invites of one group that could still be used. */
  readonly maxInvitesPerGroup: number;
  /** Without mail nobody can show that an address is theirs, and nobody has to. */
  readonly isMailOn: boolean;
  /** For links. */
  readonly publicUrl: PublicUrl;
}

/** What everything about groups works with. */
export interface GroupsDeps {
  readonly database: Database;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly settings: GroupSettings;
}
