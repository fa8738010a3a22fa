import { createHash } from "node:crypto";

import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { SilentLog } from "../observe/silent-log.ts";
import { openStore } from "../store/open-store.ts";
import { type UserRecord, insertUser, userByEmail } from "../store/user-store.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import type { AccountsDeps, AccountsSettings } from "./accounts.ts";
import { HubSecret } from "./hub-secret.ts";
import { type Mail, Outbox } from "./outbox.ts";
import { PasswordHasher } from "./password-hasher.ts";
import { signInWithPassword } from "./password-sign-in.ts";
import type { Provider } from "./provider.ts";
import { PublicUrl } from "./public-url.ts";
import { resolveActor } from "./resolve-actor.ts";
import { firstRun, setUp } from "./set-up.ts";
import type { SignedIn } from "./sign-ins.ts";
import { Tries } from "./tries.ts";
import { Cookies, type Visitor } from "./visitor.ts";

export const PASSWORD = "correct horse battery";

/** Everything about accounts, on a database of its own, with a clock and a mailbox that the test holds. */
export interface TestAccounts extends AsyncDisposable {
  readonly deps: AccountsDeps;
  readonly log: SilentLog;
  /** Hashed since the start, for tests that count work. */
  readonly hashed: string[];
  readonly cookies: Cookies;
  /** Moves the clock. */
  pass(ms: number): void;
  /** Mails that were sent since this was asked last. */
  mails(): Promise<readonly Mail[]>;
  /** Makes the root, who is signed in. */
  root(): Promise<SignedIn>;
  /** Makes a user with {@link PASSWORD} and a verified address. */
  user(
    email: string,
    options?: { readonly role?: UserRecord["role"]; readonly isVerified?: boolean },
  ): Promise<UserRecord>;
  /** Signs in as a request of that visitor would. */
  signIn(email: string, visitor?: Visitor): Promise<SignedIn>;
  /** What the hub makes of a request with that cookie. */
  actorOf(signInSecret: string): Promise<UserActor | undefined>;
  /** The actor of somebody who is signed in. */
  as(signedIn: SignedIn): Promise<UserActor>;
  reload(user: { readonly email: string }): Promise<UserRecord>;
}

/** A browser without any cookie of ours. */
export function visitor(
  change: Omit<Partial<Visitor>, "cookies"> & { readonly cookies?: Partial<Visitor["cookies"]> } = {},
): Visitor {
  return {
    address: "192.0.2.1",
    userAgent: "browser",
    ...change,
    cookies: { "sign-in": undefined, attempt: undefined, device: undefined, ...change.cookies },
  };
}

/** The secret behind the # of the one link in a mail. */
export function secretIn(mail: { readonly text: string } | undefined): string {
  return /#([\w-]{43})$/m.exec(mail?.text ?? "")?.[1] ?? "";
}

export async function testAccounts(
  settings: Partial<AccountsSettings> = {},
  providers: readonly Provider[] = [],
): Promise<TestAccounts> {
  const folder = temporaryFolder();
  const store = await openStore(`sqlite:${folder.file("hub.db")}`);
  const log = new SilentLog();
  const hashed: string[] = [];
  const sent: Mail[] = [];
  const clock = { nowMs: Date.UTC(2026, 0, 1) };
  const deps: AccountsDeps = {
    ...testDeps({ log, hashed, sent, now: () => clock.nowMs }),
    database: store.database,
    providers: new Map(providers.map((provider) => [provider.name, provider])),
    settings: { registration: "open", requiresVerifiedEmail: true, ...settings },
  };
  const cookies = new Cookies(true);
  const actorOf = (secret: string): Promise<UserActor | undefined> =>
    resolveActor({ ...deps, cookies }, { cookie: `__Host-tokilake=${secret}` }, "192.0.2.1");
  return {
    deps,
    log,
    hashed,
    cookies,
    actorOf,
    pass: (ms) => {
      clock.nowMs += ms;
    },
    mails: async () => {
      await deps.outbox.idle();
      return sent.splice(0);
    },
    root: async () => {
      const run = await firstRun(deps, undefined);
      const token = run.is === "link" ? (run.link.split("#")[1] ?? "") : "";
      return setUp(deps, visitor(), { token, email: "root@hub.example", password: PASSWORD, name: "Root" });
    },
    user: (email, options) => keepUser(deps, email, options),
    signIn: async (email, who = visitor()) => {
      const arrival = await signInWithPassword(deps, who, { email, password: PASSWORD });
      if (arrival.outcome !== "signed-in") throw new Error(`${email} needs a second factor`);
      return arrival.signedIn;
    },
    as: async ({ cookies: { "sign-in": secret } }) => {
      const actor = await actorOf(secret);
      if (actor === undefined) throw new Error("nobody is signed in with this");
      return actor;
    },
    reload: async ({ email }) => {
      const user = await userByEmail(store.database.db, email);
      if (user === undefined) throw new Error(`there is no ${email}`);
      return user;
    },
    [Symbol.asyncDispose]: async () => {
      await deps.outbox[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function testDeps(given: {
  readonly log: SilentLog;
  readonly hashed: string[];
  readonly sent: Mail[];
  readonly now: () => number;
}): Omit<AccountsDeps, "database" | "settings" | "providers"> {
  const { log, hashed, sent, now } = given;
  return {
    now,
    log,
    secret: new HubSecret(Buffer.alloc(32, 7)),
    // Not argon2: tests sign in often, and password-hasher.test.ts looks at the real one.
    hasher: new PasswordHasher(({ password, salt }) => {
      hashed.push(password);
      return Promise.resolve(createHash("sha256").update(salt).update(password).digest());
    }),
    tries: new Tries(now),
    outbox: new Outbox({ send: (mail) => Promise.resolve(void sent.push(mail)), close: () => {} }, log),
    publicUrl: new PublicUrl("https://hub.example"),
    invites: {
      check: (code) => (code.startsWith("GOOD") ? Promise.resolve() : Promise.reject(badCode())),
      redeem: (_transaction, code) => (code === "GOOD" ? Promise.resolve() : Promise.reject(badCode())),
    },
  };
}

async function keepUser(
  deps: AccountsDeps,
  email: string,
  options: { readonly role?: UserRecord["role"]; readonly isVerified?: boolean } = {},
): Promise<UserRecord> {
  const passwordHash = await deps.hasher.hash(PASSWORD);
  const user = await deps.database.write((transaction) =>
    insertUser(transaction, {
      id: `user_${email}`,
      email,
      emailVerifiedAtMs: options.isVerified === false ? undefined : deps.now(),
      name: "",
      role: options.role ?? "user",
      passwordHash,
      createdAtMs: deps.now(),
    }),
  );
  if (user === undefined) throw new Error(`there is a ${email} already`);
  return user;
}

function badCode(): AppError {
  return new AppError("invalid_request", "There is no such invite.", { param: "invite_code" });
}
