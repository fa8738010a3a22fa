import { hashOfSecret } from "../identity/key-secret.ts";
import { newOpaqueSecret } from "../identity/opaque-secret.ts";
import { newId } from "../new-id.ts";
import type { MemberRole, UserRole } from "../store/access-schema.ts";
import type { AccessTransaction } from "../store/database.ts";
import { insertGroup } from "../store/group-store.ts";
import { putMembership } from "../store/membership-store.ts";
import { insertSignIn } from "../store/sign-in-store.ts";
import { insertUser } from "../store/user-store.ts";
import type { CallInit, TestAdmin } from "../test-admin.ts";

/** Everybody who calls every route. `user` is whose keys and sign-ins are asked for; the group is `owner`'s. */
export const ACTORS = ["nobody", "user", "other", "member", "provider", "owner", "auditor", "admin", "root"] as const;
export type ActorName = (typeof ACTORS)[number];
export type PersonName = Exclude<ActorName, "nobody">;

const HUB_ROLES: Readonly<Partial<Record<PersonName, UserRole>>> = { auditor: "auditor", admin: "admin", root: "root" };
const GROUP_ROLES: Readonly<Partial<Record<PersonName, MemberRole>>> = {
  member: "member",
  provider: "provider",
  owner: "owner",
};

/** A browser that is signed in. */
export interface Person {
  readonly id: string;
  readonly signInId: string;
  readonly cookie: string;
}

/** All of them, new, with a private group: whatever one call changes, the next one finds it as it was. */
export class Scene {
  readonly admin: TestAdmin;
  readonly people: Readonly<Record<PersonName, Person>>;
  readonly groupId: string;
  /** Of a network of its own, so that no limit by address remembers the scenes before. */
  readonly address: string;

  private constructor(admin: TestAdmin, people: Record<PersonName, Person>, groupId: string, number: number) {
    this.admin = admin;
    this.people = people;
    this.groupId = groupId;
    this.address = `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
  }

  /** @param number Another one for each scene of a hub. The hub must trust 127.0.0.1 as a proxy. */
  static async open(admin: TestAdmin, number: number): Promise<Scene> {
    const nowMs = Date.now();
    const groupId = newId("group", nowMs);
    const people = await admin.database.write(async (transaction) => {
      const made = {} as Record<PersonName, Person>;
      for (const name of ACTORS) {
        if (name !== "nobody") made[name] = await addPerson(transaction, HUB_ROLES[name] ?? "user", nowMs);
      }
      const slug = groupId.replace("_", "-");
      const group = { id: groupId, kind: "private", slug, name: "Friends", description: "", memberLimits: {} } as const;
      await insertGroup(transaction, { ...group, ownerId: made.owner.id, createdAtMs: nowMs });
      for (const [name, role] of Object.entries(GROUP_ROLES)) {
        const { id: userId } = made[name as PersonName];
        await putMembership(transaction, { groupId, userId, role, joinedAtMs: nowMs });
      }
      return made;
    });
    return new Scene(admin, people, groupId, number);
  }

  /** Somebody more. */
  async person(groupRole?: MemberRole): Promise<Person> {
    const nowMs = Date.now();
    return this.admin.database.write(async (transaction) => {
      const person = await addPerson(transaction, "user", nowMs);
      const membership = { groupId: this.groupId, userId: person.id, joinedAtMs: nowMs };
      if (groupRole !== undefined) await putMembership(transaction, { ...membership, role: groupRole });
      return person;
    });
  }

  /** As a page of the hub asks for it in that person's browser. */
  browse(who: Person | undefined, method: string, path: string, init: CallInit = {}): Promise<Response> {
    const cookie = who === undefined ? {} : { cookie: who.cookie };
    const origin = { "sec-fetch-site": "same-origin", "x-forwarded-for": this.address };
    const headers = { ...cookie, ...origin, ...init.headers };
    return this.admin.call(undefined, method, path, { ...init, headers });
  }

  /** Makes something that a call is about. @throws Error when that fails. */
  async made(who: PersonName, path: string, body: unknown): Promise<Readonly<Record<string, unknown>>> {
    const response = await this.browse(this.people[who], "POST", path, { body });
    const json = (await response.json()) as Readonly<Record<string, unknown>>;
    if (!response.ok) throw new Error(`POST ${path} by ${who} gives ${response.status}: ${JSON.stringify(json)}`);
    return json;
  }
}

async function addPerson(transaction: AccessTransaction, role: UserRole, nowMs: number): Promise<Person> {
  const id = newId("user", nowMs);
  const signInId = newId("signin", nowMs);
  const secret = newOpaqueSecret();
  await insertUser(transaction, {
    id,
    email: `${id}@example.com`,
    emailVerifiedAtMs: nowMs,
    name: id,
    role,
    passwordHash: undefined,
    createdAtMs: nowMs,
  });
  const signIn = {
    id: signInId,
    userId: id,
    hash: hashOfSecret(secret),
    createdAtMs: nowMs,
    lastSeenAtMs: nowMs,
    expiresAtMs: nowMs + 3_600_000,
    address: "127.0.0.1",
    userAgent: "test",
    confirmedAtMs: nowMs,
  };
  await insertSignIn(transaction.db, signIn, 50);
  return { id, signInId, cookie: `tokilake=${secret}` };
}
