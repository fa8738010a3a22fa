import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";

import type { HubConfig } from "../config.ts";
import { type Log, openLog } from "../observe/log.ts";

/** Set, to anything, for a hub that takes the place of one that runs. */
export const SUCCESSOR_VARIABLE = "SUCCEEDS_RUNNING_HUB";
/** What a hub is sent when it is to drain. A message, as signals mean more: the second one ends a hub at once. */
export const DRAIN_MESSAGE = "drain";

/**
 * Holds the listening socket while hubs, in processes of their own, come and go behind it. Connections that nobody accepted
 * yet stay with the socket, so that none is lost between two hubs. (With a socket each, `reusePort`, Linux resets what waits
 * in the one that closes: 164 of 46,562 connections over 20 changes, against none of 46,883.)
 *
 * SIGHUP starts another hub, with the program and its file as they are on disk by then; when that one listens, the one before
 * drains. One that does not come up changes nothing. SIGTERM and SIGINT drain all; a second one ends all at once. A hub that
 * ends by itself ends everything at once, one that still drains, too, for whoever supervises to start anew: nobody takes
 * connections meanwhile. Unless another one starts just then: that takes its place.
 *
 * The hubs are this same program: in them it is `a-hub`, and nothing was done. Sets the exit code, that of the last hub.
 */
export async function keepHubs(config: HubConfig): Promise<"kept" | "a-hub"> {
  if (cluster.isWorker) return "a-hub";
  await using log = openLog(config.log);
  // Each hub accepts by itself: the keeper has no part in any connection.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  const keeper = new Keeper(log);
  process.on("SIGHUP", () => void keeper.reload());
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => keeper.stop());
  process.exitCode = await keeper.done;
  keeper.killAll();
  return "kept";
}

class Keeper {
  readonly #log: Log;
  readonly #done = Promise.withResolvers<number>();
  /** The one that takes new connections. */
  #current: Worker;
  /** Those that may be told to drain; before that a hub ends by a signal. */
  readonly #listening = new Set<Worker>();
  #isReloading = false;
  #isStopping = false;

  constructor(log: Log) {
    this.#log = log;
    this.#current = this.#fork({});
  }

  get done(): Promise<number> {
    return this.#done.promise;
  }

  async reload(): Promise<void> {
    if (this.#isReloading || this.#isStopping) return;
    this.#isReloading = true;
    this.#log.info({}, "reloading: another hub starts");
    const next = this.#fork({ [SUCCESSOR_VARIABLE]: "1" });
    await Promise.race([once(next, "listening"), once(next, "exit")]);
    this.#isReloading = false;
    if (!this.#listening.has(next) && this.#current.isDead()) return this.#onExit(this.#current, 1);
    if (!this.#listening.has(next)) {
      this.#log.error({}, "the new hub did not come up; the one before goes on");
      return;
    }
    const before = this.#current;
    this.#current = next;
    if (this.#isStopping) this.#drain(next);
    this.#drain(before);
  }

  stop(): void {
    if (this.#isStopping) return this.killAll();
    this.#isStopping = true;
    for (const hub of hubs()) this.#drain(hub);
  }

  killAll(): void {
    for (const hub of hubs()) hub.process.kill("SIGKILL");
  }

  #fork(env: Readonly<Record<string, string>>): Worker {
    const hub = cluster.fork(env);
    hub.once("listening", () => this.#listening.add(hub));
    hub.once("exit", (code, signal) => this.#onExit(hub, signal === null ? code : 1));
    return hub;
  }

  #drain(hub: Worker): void {
    if (!this.#listening.has(hub)) hub.process.kill("SIGTERM");
    // One that is gone meanwhile needs no word.
    else hub.send(DRAIN_MESSAGE, () => undefined);
  }

  #onExit(hub: Worker, code: number): void {
    this.#listening.delete(hub);
    if (this.#isStopping ? hubs().length === 0 : hub === this.#current && !this.#isReloading) this.#done.resolve(code);
  }
}

function hubs(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((hub) => hub !== undefined);
}
