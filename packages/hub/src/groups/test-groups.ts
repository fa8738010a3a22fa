import { PublicUrl } from "../accounts/public-url.ts";
import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { addUser } from "../store/access-fixtures.ts";
import type { UserRole } from "../store/access-schema.ts";
import { auditRecords } from "../store/audit-store.ts";
import type { GroupRecord } from "../store/group-store.ts";
import { openStore } from "../store/open-store.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import type { DeviceJoinDeps } from "./device-joins.ts";
import type { GroupFleet, GroupWorker } from "./group-workers.ts";
import type { GroupSettings } from "./groups-deps.ts";
import { createGroup } from "./groups.ts";
import { Guesses } from "./guesses.ts";
import { createInvite, type InviteInput, type NewlyMadeInvite } from "./invites.ts";
import { PollPace } from "./poll-pace.ts";
import { redeemCode } from "./redeem.ts";

/** Groups on a database of their own, with a clock that stands still until it is moved. */
export interface TestGroups extends DeviceJoinDeps, AsyncDisposable {
  readonly fleet: GroupFleet & { readonly workers: GroupWorker[] };
  readonly databaseUrl: string;
  readonly settings: { -readonly [Key in keyof GroupSettings]: GroupSettings[Key] };
  /** Milliseconds on all clocks. */
  pass(ms: number): void;
  /** A new user, signed in. */
  user(name: string, role?: UserRole): Promise<UserActor>;
  /** A private group that `owner` makes. */
  group(owner: UserActor, slug?: string): Promise<GroupRecord>;
  /** Makes an invite to `group`: a hundred uses, no end. */
  invite(owner: UserActor, group: GroupRecord, input?: Partial<InviteInput>): Promise<NewlyMadeInvite>;
  /** `guest` joins `group` by an invite of `owner`. */
  join(owner: UserActor, guest: UserActor, group: GroupRecord, role?: "provider" | "member"): Promise<void>;
  /** `action object` of what the audit log has, by name. */
  audited(): Promise<readonly string[]>;
}

export async function openTestGroups(): Promise<TestGroups> {
  const folder = temporaryFolder();
  const databaseUrl = `sqlite:${folder.file("hub.db")}`;
  const store = await openStore(databaseUrl);
  let nowMs = 1_000_000;
  const now = (): number => nowMs;
  const workers: GroupWorker[] = [];
  const groups: TestGroups = {
    database: store.database,
    databaseUrl,
    now,
    guesses: new Guesses(now),
    pace: new PollPace(now),
    fleet: { workers, workersIn: () => workers },
    settings: {
      maxGroupsPerUser: 3,
      maxMembersPerGroup: 50,
      maxInvitesPerGroup: 10,
      isMailOn: true,
      publicUrl: new PublicUrl("https://hub.example"),
    },
    pass: (ms) => (nowMs += ms),
    user: async (name, role = "user") => {
      const id = `user_${name}`;
      await addUser(store.database, id, role);
      return {
        kind: "user",
        user: { id, email: `${name}@example.com`, name, role, isEmailVerified: true },
        via: { kind: "sign-in", id: `sign-in_${name}`, confirmedAtMs: nowMs },
        address: "192.0.2.1",
      };
    },
    group: (owner, slug = "friends") => createGroup(groups, owner, { kind: "private", slug, name: slug }),
    invite: (owner, group, input = {}) =>
      createInvite(groups, owner, { groupId: group.id, role: "member", maxUses: 100, ...input }),
    join: async (owner, guest, group, role = "member") => {
      // Newer than whatever happened to the guest before.
      nowMs += 1;
      const { code } = await groups.invite(owner, group, { role, maxUses: 1 });
      await redeemCode(groups, guest, code);
    },
    audited: async () => {
      const records = await auditRecords(store.database.db, {}, { limit: 1000 });
      return records.map(({ action, objectId }) => `${action} ${objectId}`).toSorted();
    },
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
  return groups;
}

/** The code of the AppError that `act` ends with, and its field when it names one; "none" when it succeeds. */
export async function codeOf(act: Promise<unknown>): Promise<string> {
  try {
    await act;
    return "none";
  } catch (thrown) {
    if (!(thrown instanceof AppError)) throw thrown;
    return thrown.param === undefined ? thrown.code : `${thrown.code} ${thrown.param}`;
  }
}
