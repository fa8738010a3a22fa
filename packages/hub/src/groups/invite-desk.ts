import type { InviteDesk } from "../accounts/invite-desk.ts";
import { inviteHashOf } from "../identity/invite-code.ts";
import { inviteState } from "../store/redeem-invite.ts";
import type { GroupsDeps } from "./groups-deps.ts";
import { endedInvite, noSuchInvite, redeemIn } from "./redeem.ts";

/** Invites as registration needs them: whoever has one may make an account, and is in its group with it. */
export function inviteDesk(deps: GroupsDeps): InviteDesk {
  return {
    check: async (db, code, nowMs) => {
      const hash = inviteHashOf(code);
      const state = hash === undefined ? undefined : await inviteState(db, hash, nowMs);
      if (state === undefined || state.outcome === "unknown") throw noSuchInvite();
      if (state.outcome === "ended") throw endedInvite(state.end);
    },
    redeem: async (transaction, code, { user, address, requestId }, nowMs) => {
      const hash = inviteHashOf(code);
      if (hash === undefined) throw noSuchInvite();
      // Nobody is signed in yet.
      const by = { kind: "hub", address, ...(requestId !== undefined && { requestId }) } as const;
      await redeemIn(deps, transaction, { by, userId: user.id, hash }, nowMs);
    },
  };
}
