import type { InviteDesk } from "../accounts/invite-desk.ts";
import { inviteHashOf } from "../identity/invite-code.ts";
import { noSuchInvite, openInvite, type RedeemDeps, redeemIn } from "./redeem.ts";

/** Invites as registration needs them: whoever has one may make an account, and is in its group with it. */
export function inviteDesk(deps: RedeemDeps): InviteDesk {
  return {
    check: async (code, address) => {
      await openInvite(deps, address, code);
    },
    redeem: async (transaction, code, { user, by }, nowMs) => {
      const hash = inviteHashOf(code);
      if (hash === undefined) throw noSuchInvite();
      await redeemIn(deps, transaction, { by, userId: user.id, hash }, nowMs);
    },
  };
}
