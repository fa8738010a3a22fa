// Run by redeem.test.ts as one of several processes: twenty users of its own redeem one code, all at once.
import { PublicUrl } from "../../accounts/public-url.ts";
import type { UserActor } from "../../identity/actor.ts";
import { openStore } from "../../store/open-store.ts";
import { Guesses } from "../guesses.ts";
import { redeemCode } from "../redeem.ts";
import { codeOf } from "../test-groups.ts";

const { DATABASE_URL = "", CODE = "", PART = "0" } = process.env;

await using store = await openStore(DATABASE_URL);
const deps = {
  database: store.database,
  now: Date.now,
  guesses: new Guesses(() => performance.now()),
  settings: {
    maxGroupsPerUser: 10,
    maxMembersPerGroup: 1000,
    maxInvitesPerGroup: 10,
    isMailOn: true,
    publicUrl: new PublicUrl("https://hub.example"),
  },
};
const guests = Array.from({ length: 20 }, (_, index) => `user_guest${Number(PART) * 20 + index}`);
const outcomes = await Promise.all(
  guests.map((id) => {
    const guest: UserActor = {
      kind: "user",
      user: { id, email: "", name: "", role: "user", isEmailVerified: true },
      via: { kind: "sign-in", id: "sign-in", confirmedAtMs: 0 },
      address: "192.0.2.1",
    };
    return codeOf(redeemCode(deps, guest, CODE));
  }),
);
const isExpected = outcomes.every((code) => code === "none" || code === "invite_ended");
process.exitCode = isExpected ? 0 : 1;
