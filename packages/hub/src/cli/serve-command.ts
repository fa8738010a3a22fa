import { type HubConfig, unknownVariables } from "../config.ts";
import { REMEMBERED } from "../fleet/catalogue.ts";
import { createHub, type HubDeps } from "../hub.ts";
import { Directory } from "../identity/directory.ts";
import { BatchedRequestLog } from "../observe/batched-request-log.ts";
import { watchDescriptors } from "../observe/descriptor-watch.ts";
import { type Log, openLog } from "../observe/log.ts";
import { PrometheusMetrics } from "../observe/prometheus-metrics.ts";
import { KyselyAccessStore } from "../store/kysely-access-store.ts";
import { openStore } from "../store/open-store.ts";
import type { RequestLogStore } from "../store/request-log-store.ts";
import { CommandError } from "./cli-error.ts";
import { DRAIN_MESSAGE, SUCCESSOR_VARIABLE } from "./keeper.ts";

/** Of the request log, read at the start: some milliseconds. */
const RECENT_REQUESTS = 1_000;

export interface ServeOptions {
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs a hub until SIGTERM or SIGINT, lets its requests run out, and closes what it opened. A second signal ends the process
 * at once.
 */
export async function serve(config: HubConfig, options: ServeOptions): Promise<void> {
  // Closed in reverse: first the hub, then what it writes to, last the log.
  await using closing = new AsyncDisposableStack();
  const log = closing.use(openLog(config.log));
  process.once("uncaughtException", (error) => void crash(log, error));
  closing.use(watchDescriptors(log));
  // Before the hub is up a signal ends the process at once: nothing runs that would need to drain.
  const store = closing.use(await openStore(config.databaseUrl));
  const keys = closing.use(await Directory.open(new KyselyAccessStore(store.database), { log, now: Date.now }));
  const {
    databaseUrl,
    requestLog: { maxRows },
  } = config;
  const requestLog = closing.use(new BatchedRequestLog({ databaseUrl, maxRows, log }));
  const metrics = closing.use(new PrometheusMetrics(options.version));
  metrics.read({
    tokilake_request_log_queued: () => requestLog.queued,
    tokilake_request_log_dropped_total: () => requestLog.dropped,
    tokilake_request_log_restarts_total: () => requestLog.restarts,
  });

  const isSuccessor = options.env[SUCCESSOR_VARIABLE] !== undefined;
  const servedLately = await modelsServedLately(store.requestLog, keys);
  const { database } = store;
  const clocks = { now: Date.now, random: Math.random };
  const hub = createHub(config, { log, keys, database, requestLog, metrics, ...clocks, isSuccessor, servedLately });
  closing.defer(() => hub.close());
  const { url } = await hub.listen().catch((thrown: unknown) => {
    throw explained(thrown, config);
  });
  log.info({ url, version: options.version, dataDir: config.dataDir, keys: keys.size }, "listening");
  await hub.tellFirstRun();
  warnOfStart(log, keys, options.env);

  const signal = await askedToStop();
  log.info(
    { signal, graceMs: config.drainGraceMs },
    "stopping: running requests may end; signal again to stop at once",
  );
  await hub.drain();
  log.info({}, "stopped");
}

/** So that a hub that comes back after a crash can tell a model whose workers are on their way from one that nobody knows. */
async function modelsServedLately(log: RequestLogStore, keys: Directory): Promise<HubDeps["servedLately"] & object> {
  const sinceMs = Date.now() - REMEMBERED.forMs;
  const served = (await log.recent(RECENT_REQUESTS)).filter(
    ({ outcome, startedAtMs }) => outcome === "complete" && startedAtMs >= sinceMs,
  );
  return served.flatMap(({ keyId = "", model }) => {
    // With two groups it is not known which of them answered. It is told to nobody then.
    const [groupId, ...more] = keys.principalOf(keyId)?.groupIds ?? [];
    return groupId === undefined || model === undefined || more.length > 0 ? [] : { groupId, model };
  });
}

function warnOfStart(log: Log, keys: Directory, env: ServeOptions["env"]): void {
  const unknown = unknownVariables(env);
  if (unknown.length > 0) log.warn({ variables: unknown }, "unknown TOKILAKE_ variables are ignored");
  if (keys.size === 0) log.info({}, "there is no key yet; make one: tokilake keys create --kind api --name NAME");
}

/** Nothing is known of the state after a fault that nobody caught: the reason gets into the log, and whoever supervises starts anew. */
async function crash(log: Log & AsyncDisposable, error: Error): Promise<void> {
  log.error({ error }, "a fault in tokilake itself, please report it; the hub ends");
  await log[Symbol.asyncDispose]();
  process.exit(1);
}

/**
 * The first SIGTERM or SIGINT, or the keeper's message. From the first signal on nobody listens to them, so that the system
 * ends the process at the next one, even when the event loop hangs. The message does not count: many a supervisor sends its
 * signal to the keeper and to the hub.
 */
async function askedToStop(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const stop = (signal: string): void => {
    process.off("SIGTERM", stop).off("SIGINT", stop);
    resolve(signal);
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
  process.on("message", (message) => {
    if (message === DRAIN_MESSAGE) resolve("the keeper's word");
  });
  return promise;
}

/** A failure to listen, with what the operator can do. */
function explained(thrown: unknown, config: HubConfig): unknown {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  const options = { cause: thrown };
  switch (code) {
    case "EADDRINUSE":
      return new CommandError(
        `Port ${config.port} is taken. Is a hub running already? Stop it, or choose another port with --port`,
        options,
      );
    case "EACCES":
      return new CommandError(
        `This user may not listen on port ${config.port}. Choose one from 1024 on with --port`,
        options,
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new CommandError(`This machine has no address ${config.host}. Choose one of its own with --host`, options);
    default:
      return thrown;
  }
}
