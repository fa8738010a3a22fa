import { randomUUID } from "node:crypto";
import { join } from "node:path";

import { LimitedAdmission } from "./billing/limited-admission.ts";
import type { HubConfig } from "./config.ts";
import { AppError } from "./errors.ts";
import { Fleet, type FleetDeps } from "./fleet/fleet.ts";
import type { ModelClaims } from "./fleet/serving.ts";
import { openWorkerDoor } from "./fleet/worker-door.ts";
import { WorkerKeyUse } from "./fleet/worker-key-use.ts";
import { claimModels } from "./groups/model-claims.ts";
import { ClientAddresses } from "./http/client-address.ts";
import { ClientConnections } from "./http/client-connections.ts";
import { healthRoutes } from "./http/health-routes.ts";
import { createHttpServer } from "./http/http-server.ts";
import { modelRoutes } from "./http/model-routes.ts";
import { type Route, Router } from "./http/router.ts";
import { StrangerSockets } from "./http/stranger-sockets.ts";
import { upgrading, type UpgradeHandler } from "./http/upgrading.ts";
import { webSocketDoor, type WebSocketDoorDeps } from "./http/websocket-door.ts";
import { type Admin, openAdmin } from "./hub-admin.ts";
import { HubLife, type LifeParts } from "./hub-life.ts";
import { accessServices, type AccessServices } from "./hub-services.ts";
import { workerEvent, workersOf } from "./hub-workers.ts";
import { FailedAttempts } from "./identity/failed-attempts.ts";
import type { KeyRing } from "./identity/key-ring.ts";
import { keyRefusal } from "./identity/refusals.ts";
import type { Log } from "./observe/log.ts";
import type { Metrics, MetricSources } from "./observe/metrics.ts";
import type { RequestLog } from "./observe/request-log.ts";
import { pageRoutes } from "./pages/pages-routes.ts";
import { ActiveRuns } from "./relay/active-runs.ts";
import { MemoryBudget } from "./relay/memory-budget.ts";
import { OPERATIONS } from "./relay/operation.ts";
import { relayWebSocket } from "./relay/relay-websocket.ts";
import { relay, type RelayDeps } from "./relay/relay.ts";
import type { Run } from "./relay/run.ts";
import { SpoolRoom } from "./relay/spool.ts";
import { Dispatcher, type DispatcherOptions, WORKERS_EXPECTED_MS } from "./routing/dispatcher.ts";
import { UsableModels } from "./routing/usable-models.ts";
import type { Database } from "./store/database.ts";
import { noteKeysUsed } from "./store/key-store.ts";

/** What the hub takes from the outside world. `main.ts` passes the real ones; tests pass their own. */
export interface HubDeps {
  readonly log: Log;
  readonly keys: KeyRing;
  /** Users, groups and what belongs to them. undefined, as in tests of other parts: there is no admin API. */
  readonly database?: Database;
  readonly requestLog: RequestLog;
  readonly metrics: Metrics;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** It takes the place of a hub that runs, whose workers come over. Default: false. */
  readonly isSuccessor?: boolean;
  /** Models that workers served shortly before: offline until they are back. Default: none. */
  readonly servedLately?: readonly { readonly groupId: string; readonly model: string }[];
  /** Whose model names they are in each group. Default: whoever serves in a group serves any name. */
  readonly claims?: ModelClaims;
}

export interface Hub {
  /** Starts to take connections. `url` is for this machine. */
  listen(): Promise<{ readonly port: number; readonly url: string }>;
  /** While there is no root of the hub, makes the one of the settings, or says in the log how to become it. */
  tellFirstRun(): Promise<void>;
  /** Takes no new connections, lets what runs end within the configured grace, then closes. */
  drain(): Promise<void>;
  /** At once: running answers are cut, visibly. */
  close(): Promise<void>;
}

const CONNECT_PATH = "/api/tokilake/connect";

/** Paths that a worker answers with a WebSocket. */
const WEBSOCKET_PATHS = ["/v1/realtime"];

/** The composition root: the one function that knows which parts exist and how they fit. */
export function createHub(config: HubConfig, deps: HubDeps): Hub {
  const { log, keys, metrics, now } = deps;
  const hubId = `hub-${randomUUID()}`;
  const life = new HubLife(config);
  const active = new ActiveRuns();
  const access = deps.database && accessServices(config, { ...deps, database: deps.database });
  const claims = deps.claims ?? (access && modelClaims(access));
  const opened = openFleet({ ...deps, ...(claims && { claims }) }, active, (...came) =>
    admin?.tell(workerEvent(...came)),
  );
  const { fleet, dispatcher } = opened;
  const addresses = new ClientAddresses(config.trustedProxies);
  const failures = new FailedAttempts(() => performance.now());
  const strangers = new StrangerSockets();
  const workers = openWorkerDoor({
    hubId,
    assumesV1: config.assumesTunnelV1,
    keys,
    failures,
    clientOf: (request) => addresses.of(request),
    onKnown: ({ socket }) => strangers.welcome(socket),
    fleet,
    metrics,
    log,
    now,
  });
  const admin: Admin | undefined =
    access &&
    openAdmin(config, { ...access.keys, keys, log, access, hubId, addresses, strangers, workers: workersOf(fleet) });
  const journey: RelayDeps = {
    memory: new MemoryBudget(config.limits.maxBodyMemoryBytes),
    spools: new SpoolRoom({ folder: join(config.dataDir, "spool"), maxBytes: config.limits.maxSpoolBytes }),
    config,
    keys,
    addresses,
    failures,
    strangers,
    admission: new LimitedAdmission(() => performance.now()),
    active,
    requestLog: requestLogOf(deps, admin),
    now,
    dispatcher,
    metrics,
    log,
    retry: "until-content",
  };
  const door = { log, now, isDraining: () => !life.isOpen, isOver: () => life.isOver };
  const router = new Router([
    ...relayRoutes(journey),
    ...modelRoutes(journey, new UsableModels(fleet.models)),
    ...healthRoutes(metrics, { isReady: () => life.isOpen, metricsToken: config.metricsToken, door: journey }),
    ...(access === undefined ? [] : pageRoutes()),
  ]);
  const upgrade = upgrading(webSocketDoors(journey, door, workers), now);
  const server = createHttpServer({ router, admin, addresses, strangers, ...door, upgrade });

  const watches = openWatches(keys, opened, active);
  metrics.read({ ...tunnelGauges(workers, fleet, life), ...requestGauges(journey) });

  const parts = { server, clients: new ClientConnections(server), workers, active };
  return livingHub(life, parts, { admin, watches });
}

function livingHub(
  life: HubLife,
  parts: LifeParts,
  { admin, watches }: { readonly admin: Admin | undefined; readonly watches: Disposable },
): Hub {
  return {
    listen: async () => {
      await admin?.ready();
      const listening = await life.listen(parts);
      admin?.listensOn(listening.port);
      return listening;
    },
    tellFirstRun: async () => admin?.tellFirstRun(),
    drain: async () => {
      await admin?.end();
      return life.drain(parts).finally(() => watches[Symbol.dispose]());
    },
    close: async () => {
      await admin?.end();
      return life.close(parts).finally(() => watches[Symbol.dispose]());
    },
  };
}

/** Names of models belong to whoever served them first in a group. */
function modelClaims({ groups }: AccessServices): ModelClaims {
  return { claim: (asked) => claimModels(groups, asked) };
}

interface OpenedFleet {
  readonly fleet: Fleet;
  readonly dispatcher: Dispatcher;
  /** undefined: there is no database to keep it in. */
  readonly keyUse: WorkerKeyUse | undefined;
}

/** The workers, and who gives their slots to requests: each tells the other. */
function openFleet(deps: HubDeps, active: ActiveRuns, onWorker: NonNullable<FleetDeps["onWorker"]>): OpenedFleet {
  const { log, keys, now, database } = deps;
  const dispatcher: Dispatcher = new Dispatcher({ models: () => fleet.models, ...waitingRules(deps) });
  const fleet: Fleet = new Fleet({
    log,
    now,
    groupsToServe: (worker, named) => keys.groupsToServe(worker, named),
    notServed: (worker, named) => keys.notServed(worker, named),
    slugOf: (groupId) => keys.slugOf(groupId),
    claims: deps.claims,
    onRoom: (target) => dispatcher.offer(target),
    onLost: (target, groupId) => active.endAt(target, groupId),
    onWorker: (worker, is) => {
      onWorker(worker, is);
      if (is === "connected") keyUse?.came(worker.principal.keyId);
    },
  });
  const keyUse = database && workerKeyUse({ ...deps, database }, fleet);
  for (const { groupId, model } of deps.servedLately ?? []) fleet.models.remember(groupId, [model]);
  return { fleet, dispatcher, keyUse };
}

function workerKeyUse({ database, log, now }: HubDeps & { readonly database: Database }, fleet: Fleet): WorkerKeyUse {
  return new WorkerKeyUse({
    connected: () => [...fleet.workers].map(({ principal }) => principal.keyId),
    note: (keyIds, atMs) => noteKeysUsed(database.db, keyIds, atMs),
    log,
    now,
  });
}

/** What goes on as long as the hub does. */
function openWatches(keys: KeyRing, { fleet, keyUse }: OpenedFleet, active: ActiveRuns): Disposable {
  const watches = new DisposableStack();
  watches.defer(followKeys(keys, fleet, active));
  watches.use(keyUse);
  return watches;
}

/** What runs ends when its key, or its owner's right to be in the group, does. Returns the end of it. */
function followKeys(keys: KeyRing, fleet: Fleet, active: ActiveRuns): () => void {
  const ends = [
    keys.onEnded((end) => {
      const { keyId, groupId, reason } = end;
      const cancel = (isMeant?: (run: Run) => boolean): void =>
        active.cancelKey(keyId, () => keyRefusal(reason), isMeant);
      if (groupId !== undefined) return cancel((run) => run.groupId === groupId);
      fleet.closeKey(end);
      if (reason !== "rotated") cancel();
    }),
    keys.onWorkerChanged((keyId) => fleet.decideKey(keyId)),
    keys.onGroupChanged((groupId) => fleet.decideGroup(groupId)),
  ];
  return () => ends.forEach((end) => end());
}

/** Each record is also told to those who watch the usage of their keys. */
function requestLogOf({ requestLog }: HubDeps, admin: Admin | undefined): RequestLog {
  if (admin === undefined) return requestLog;
  return {
    record: (record) => {
      requestLog.record(record);
      admin.onRequest(record);
    },
  };
}

function waitingRules({ random, isSuccessor = false }: HubDeps): Pick<DispatcherOptions, "random" | "patienceMs"> {
  const expectsUntil = isSuccessor ? performance.now() + WORKERS_EXPECTED_MS : 0;
  return { random, patienceMs: () => expectsUntil - performance.now() };
}

function tunnelGauges(
  workers: { readonly sessions: ReadonlySet<unknown> },
  fleet: Fleet,
  life: HubLife,
): MetricSources {
  return {
    tunnel_connections: () => workers.sessions.size,
    tunnel_streams_active: () => fleet.traffic.streams,
    tunnel_rtt_seconds: () => fleet.traffic.slowestRoundTripMs / 1000,
    tunnel_received_bytes_total: () => fleet.traffic.received,
    tunnel_sent_bytes_total: () => fleet.traffic.sent,
    tunnel_draining: () => (life.isOpen ? 0 : 1),
  };
}

function requestGauges({ active, memory, spools }: RelayDeps): MetricSources {
  return {
    tokilake_requests_in_flight: () => active.size,
    tokilake_request_body_bytes: () => memory.usedBytes,
    tokilake_spool_bytes: () => spools.usedBytes,
  };
}

/** Whoever takes upgrades, by path. */
function webSocketDoors(
  deps: RelayDeps,
  door: WebSocketDoorDeps,
  workers: { readonly handleUpgrade: UpgradeHandler },
): ReadonlyMap<string, UpgradeHandler> {
  const relays = WEBSOCKET_PATHS.map(
    (path) => [path, webSocketDoor(door, (exchange) => relayWebSocket(deps, path, exchange))] as const,
  );
  return new Map([[CONNECT_PATH, (...socket) => workers.handleUpgrade(...socket)], ...relays]);
}

/** What a request without an upgrade is told. */
function webSocketOnly(path: string): Route {
  return {
    method: "GET",
    path,
    handler: () => {
      throw new AppError("invalid_request", "Connect to this address with a WebSocket.");
    },
  };
}

function relayRoutes(deps: RelayDeps): Route[] {
  const operations: Route[] = OPERATIONS.map((operation) => ({
    method: "POST",
    path: operation.path,
    handler: (exchange) => relay(deps, operation, exchange),
  }));
  return [...operations, ...WEBSOCKET_PATHS.map(webSocketOnly)];
}
