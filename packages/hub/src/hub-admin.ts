import type { IncomingHttpHeaders } from "node:http";

import packageJson from "../package.json" with { type: "json" };
import type { AccountsDeps } from "./accounts/accounts.ts";
import { isKnownHubSecret } from "./accounts/hub-secret-check.ts";
import { resolveActor } from "./accounts/resolve-actor.ts";
import { firstRun } from "./accounts/set-up.ts";
import { Cookies } from "./accounts/visitor.ts";
import { createAdminApi, type AdminApi, isAdminPath } from "./admin/admin-api.ts";
import { adminRoutes } from "./admin/all-routes.ts";
import { EventHub, type HubEvent } from "./admin/event-hub.ts";
import { KeyEvents } from "./admin/key-events.ts";
import { CHANGE_LIMITS, RateLimit } from "./admin/rate-limit.ts";
import { UsageEvents } from "./admin/usage-events.ts";
import type { ConnectedWorkers } from "./admin/workers-routes.ts";
import type { HubConfig } from "./config.ts";
import type { GroupFleet } from "./groups/group-workers.ts";
import type { ClientAddresses } from "./http/client-address.ts";
import type { StrangerSockets } from "./http/stranger-sockets.ts";
import type { AccessServices } from "./hub-services.ts";
import type { UserActor } from "./identity/actor.ts";
import type { KeyRing } from "./identity/key-ring.ts";
import type { Log } from "./observe/log.ts";
import type { RequestRecord } from "./observe/request-log.ts";
import { currentRevision } from "./store/audience-store.ts";
import type { Database } from "./store/database.ts";
import { KyselyAccessStore } from "./store/kysely-access-store.ts";

/** What the admin part of a hub takes from the rest of it. */
export interface AdminDeps {
  readonly hubId: string;
  readonly database: Database;
  readonly access: AccessServices;
  readonly addresses: ClientAddresses;
  readonly strangers: StrangerSockets;
  readonly workers: ConnectedWorkers & GroupFleet;
  readonly keys: Pick<KeyRing, "caughtUp">;
  readonly log: Log;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** The admin API with what stands behind it, and how the rest of the hub tells it what happens. */
export interface Admin {
  readonly api: Pick<AdminApi, "handle">;
  /** Nothing can be handled before. */
  ready(): Promise<void>;
  /** Links lead to this port, unless the settings say where people reach the hub. */
  listensOn(port: number): void;
  /** While there is no root, makes the one of the settings, or the log says how to become it. */
  tellFirstRun(): Promise<void>;
  readonly owns: (path: string) => boolean;
  /** Something happened that subscribers may want to know. */
  readonly tell: (event: HubEvent) => void;
  /** A request was finished. */
  readonly onRequest: (record: RequestRecord) => void;
  /** Streams of events end, as they would never by themselves, and mails that wait are not sent. Twice is once. */
  end(): Promise<void>;
}

/** Builds the admin API of one hub. */
export function openAdmin(config: HubConfig, deps: AdminDeps): Admin {
  const { database, log, access } = deps;
  const failed = (error: unknown): void => log.warn({ error }, "events of the admin API could not be told");
  const events = new EventHub(deps.hubId, failed);
  const usage = new UsageEvents(events, database.db, failed);
  const keys = new KeyEvents(events, new KyselyAccessStore(database), () => currentRevision(database.db), failed);
  const stopWatching = database.watch(() => events.recheckSoon());
  const { accounts } = access;
  const cookies = new Cookies(accounts.publicUrl.isHttps);
  const actorOf = (headers: IncomingHttpHeaders, address: string): Promise<UserActor | undefined> =>
    resolveActor({ database, now: deps.now, cookies }, headers, address);
  const api = createAdminApi({
    routes: adminRoutes(packageJson.version),
    services: {
      ...access,
      groups: { ...access.groups, fleet: deps.workers },
      database,
      now: deps.now,
      events,
      actorOf,
      workers: deps.workers,
    },
    actorOf,
    addresses: deps.addresses,
    onKnown: (socket) => deps.strangers.welcome(socket),
    caughtUp: () => deps.keys.caughtUp(),
    db: database.db,
    limits: new RateLimit(() => performance.now()),
    changes: new RateLimit(() => performance.now(), CHANGE_LIMITS),
    get publicOrigin() {
      return accounts.publicUrl.origin;
    },
    log,
    now: deps.now,
  });
  return {
    api,
    ready: () => api.ready(),
    listensOn: (port) => {
      if (config.publicUrl === undefined) accounts.publicUrl.usePort(port);
    },
    tellFirstRun: () => tellFirstRun(accounts, config),
    owns: isAdminPath,
    tell: (event) => events.publish(event),
    onRequest: (record) => usage.add(record),
    end: async () => {
      stopWatching();
      for (const part of [keys, usage, events]) part[Symbol.dispose]();
      await access[Symbol.asyncDispose]();
    },
  };
}

async function tellFirstRun(accounts: AccountsDeps, config: HubConfig): Promise<void> {
  if (!(await isKnownHubSecret(accounts))) {
    accounts.log.error(
      {},
      "the hub's key is not the one of this database: second factors cannot be checked. Restore secret.key, or set TOKILAKE_SECRET_KEY to the key of the other hubs",
    );
  }
  const run = await firstRun(accounts, config.accounts.admin);
  if (run.is === "link") accounts.log.warn({ link: run.link }, "nobody is root yet: open this link within an hour");
  if (run.is === "root-made") accounts.log.info({ email: run.user.email }, "made the first root of the settings");
}
