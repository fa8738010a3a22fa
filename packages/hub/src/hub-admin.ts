import packageJson from "../package.json" with { type: "json" };
import { createAdminApi, type AdminApi, isAdminPath } from "./admin/admin-api.ts";
import { type AdminServices, adminRoutes } from "./admin/all-routes.ts";
import { EventHub } from "./admin/event-hub.ts";
import { KeyEvents } from "./admin/key-events.ts";
import { RateLimit } from "./admin/rate-limit.ts";
import { UsageEvents } from "./admin/usage-events.ts";
import type { HubConfig } from "./config.ts";
import type { ClientAddresses } from "./http/client-address.ts";
import type { StrangerSockets } from "./http/stranger-sockets.ts";
import { PublicUrl } from "./identity/public-url.ts";
import { resolveActor } from "./identity/resolve-actor.ts";
import { Cookies } from "./identity/visitor.ts";
import type { Log } from "./observe/log.ts";
import type { RequestRecord } from "./observe/request-log.ts";
import { currentRevision } from "./store/audience-store.ts";
import type { Database } from "./store/database.ts";
import { KyselyAccessStore } from "./store/kysely-access-store.ts";

/** What the admin part of a hub takes from the rest of it. */
export interface AdminDeps {
  readonly hubId: string;
  readonly database: Database;
  readonly addresses: ClientAddresses;
  readonly strangers: StrangerSockets;
  readonly log: Log;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** The admin API with what stands behind it, and how the rest of the hub tells it what happens. */
export interface Admin {
  readonly api: AdminApi;
  readonly owns: (path: string) => boolean;
  /** A request was finished. */
  readonly onRequest: (record: RequestRecord) => void;
  /** Streams of events end, as they would never by themselves. */
  endStreams(): void;
}

/** Builds the admin API of one hub. */
export function openAdmin(config: HubConfig, deps: AdminDeps): Admin {
  const { database, log } = deps;
  const failed = (error: unknown): void => log.warn({ error }, "events of the admin API could not be told");
  const events = new EventHub(deps.hubId, failed);
  const usage = new UsageEvents(events, database.db, failed);
  const keys = new KeyEvents(events, new KyselyAccessStore(database), () => currentRevision(database.db), failed);
  const stopWatching = database.watch(() => events.recheckSoon());
  const publicUrl = config.publicUrl === undefined ? undefined : new PublicUrl(config.publicUrl);
  const services = accessServices(deps, { events, cookies: new Cookies(publicUrl?.isHttps ?? false) });
  const api = createAdminApi({
    routes: adminRoutes(packageJson.version),
    services,
    actorOf: services.actorOf,
    addresses: deps.addresses,
    onKnown: (socket) => deps.strangers.welcome(socket),
    db: database.db,
    limits: new RateLimit(() => performance.now()),
    publicOrigin: publicUrl?.origin,
    log,
    now: deps.now,
  });
  return {
    api,
    owns: isAdminPath,
    onRequest: (record) => usage.add(record),
    endStreams: () => {
      stopWatching();
      for (const part of [keys, usage, events]) part[Symbol.dispose]();
    },
  };
}

/** Everything that routes work with. */
function accessServices(
  { database, now }: AdminDeps,
  { events, cookies }: { readonly events: EventHub; readonly cookies: Cookies },
): AdminServices {
  const actorOf: AdminServices["actorOf"] = (headers, address) =>
    resolveActor({ database, now, cookies }, headers, address);
  return { database, now, events, actorOf };
}
