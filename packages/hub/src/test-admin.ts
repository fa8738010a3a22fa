import type { HubConfig } from "./config.ts";
import { SCOPES, type Scope } from "./identity/actor.ts";
import { Directory } from "./identity/directory.ts";
import { hashOfSecret } from "./identity/key-secret.ts";
import { newOpaqueSecret } from "./identity/opaque-secret.ts";
import { SilentLog } from "./observe/silent-log.ts";
import type { UserRole } from "./store/access-schema.ts";
import { insertAccessToken } from "./store/access-token-store.ts";
import type { Database } from "./store/database.ts";
import { KyselyAccessStore } from "./store/kysely-access-store.ts";
import { openStore } from "./store/open-store.ts";
import { insertSignIn } from "./store/sign-in-store.ts";
import { insertUser } from "./store/user-store.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { startTestHub, type TestHub } from "./test-hub.ts";

/** Somebody with an account, a token with all scopes, and a browser that is signed in. */
export interface TestUser {
  readonly id: string;
  readonly token: string;
  /** What the browser sends: a `cookie` header. */
  readonly cookie: string;
}

export interface CallInit {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A hub with a database of its own, and people who call its admin API. */
export interface TestAdmin extends AsyncDisposable {
  readonly hub: TestHub;
  readonly url: string;
  readonly database: Database;
  user(name: string, role?: UserRole): Promise<TestUser>;
  tokenOf(user: Pick<TestUser, "id">, scopes: readonly Scope[]): Promise<string>;
  /** @param who A token, the person whose token is meant, or undefined for nobody. */
  call(who: TestUser | string | undefined, method: string, path: string, init?: CallInit): Promise<Response>;
  /** As a page of the hub does it in a browser. */
  browse(who: TestUser, method: string, path: string, init?: CallInit): Promise<Response>;
}

/** @param options.keys `stored`: keys of the database open the hub's doors, instead of any that looks like one. */
export async function startTestAdmin(
  config: Partial<HubConfig> = {},
  options: { readonly keys?: "stored" } = {},
): Promise<TestAdmin> {
  const folder = temporaryFolder();
  const store = await openStore(`sqlite:${folder.file("hub.db")}`, { durability: "bulk" });
  const { database } = store;
  await using closing = new AsyncDisposableStack();
  const keys = options.keys && closing.use(await openDirectory(database));
  const hub = await startTestHub(config, { database, ...(keys && { keys }) });
  const later = closing.move();
  const call: TestAdmin["call"] = (who, method, path, { body, headers, signal } = {}) => {
    const token = typeof who === "string" ? who : who?.token;
    return fetch(hub.url + path, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal !== undefined && { signal }),
      redirect: "manual",
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
    });
  };
  return {
    hub,
    url: hub.url,
    database,
    call,
    tokenOf: (user, scopes) => keepToken(database, user, scopes),
    browse: (who, method, path, init = {}) =>
      call(undefined, method, path, {
        ...init,
        headers: { cookie: who.cookie, "sec-fetch-site": "same-origin", ...init.headers },
      }),
    user: async (name, role = "user") => {
      const user = await keepUser(database, name, role);
      return { ...user, token: await keepToken(database, user, SCOPES) };
    },
    [Symbol.asyncDispose]: async () => {
      await hub[Symbol.asyncDispose]();
      await later[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function openDirectory(database: Database): Promise<Directory> {
  return Directory.open(new KyselyAccessStore(database), { log: new SilentLog(), now: Date.now });
}

async function keepToken(
  database: Database,
  { id }: { readonly id: string },
  scopes: readonly Scope[],
): Promise<string> {
  const secret = `pat-${newOpaqueSecret()}`;
  const shown = { id: `token_${secret}`, userId: id, name: "test", prefix: "pat-", hash: hashOfSecret(secret), scopes };
  const ends = { expiresAtMs: undefined, revokedAtMs: undefined, lastUsedAtMs: undefined };
  await insertAccessToken(database.db, { ...shown, ...ends, createdAtMs: Date.now() });
  return secret;
}

async function keepUser(
  database: Database,
  name: string,
  role: UserRole,
): Promise<{ readonly id: string; readonly cookie: string }> {
  const nowMs = Date.now();
  const id = `user_${name}`;
  const secret = newOpaqueSecret();
  await database.write(async (transaction) => {
    await insertUser(transaction, {
      id,
      email: `${name}@example.com`,
      emailVerifiedAtMs: nowMs,
      name,
      role,
      passwordHash: undefined,
      createdAtMs: nowMs,
    });
    await insertSignIn(
      transaction.db,
      {
        id: `signin_${name}`,
        userId: id,
        hash: hashOfSecret(secret),
        createdAtMs: nowMs,
        lastSeenAtMs: nowMs,
        expiresAtMs: nowMs + 3600_000,
        address: "127.0.0.1",
        userAgent: "test",
        confirmedAtMs: nowMs,
      },
      50,
    );
  });
  return { id, cookie: `tokilake=${secret}` };
}
