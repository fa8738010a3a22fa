import type { Server } from "node:http";
import { type AddressInfo, Server as NetServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { AppError } from "./errors.ts";
import type { ClientConnections } from "./http/client-connections.ts";
import type { ActiveRuns } from "./relay/active-runs.ts";

export const DRAIN = {
  /** A draining hub closes idle connections when no request came on any for so long: one may be on its way. */
  idleMs: 2_000,
  /** After the grace: for clients to take their error, a sending one too, before its connection is cut. */
  lastWordsMs: 2_500,
  /** Workers get so long to take their good-bye when nothing runs on them any more. */
  goodbyeMs: 1_000,
} as const;

/** Between two looks whether all is quiet. */
const LOOK_EVERY_MS = 20;
/** What a client is told whose answer had not begun. By then another hub listens, if there is to be one. */
const RETRY_AFTER_S = 5;

export interface LifeParts {
  readonly server: Server;
  readonly clients: ClientConnections;
  readonly workers: {
    handOver(options: { readonly graceMs: number }): void;
    drain(options: { readonly graceMs: number }): Promise<void>;
    close(): void;
  };
  readonly active: ActiveRuns;
}

export interface LifeOptions {
  readonly host: string;
  readonly port: number;
  readonly drainGraceMs: number;
}

/** From the first connection to the last: listening, draining, closed. */
export class HubLife {
  readonly #options: LifeOptions;
  #phase: "open" | "draining" | "ending" | "closed" = "open";

  constructor(options: LifeOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#phase === "open";
  }

  /** The grace is over, too: no request is served any more. */
  get isOver(): boolean {
    return this.#phase === "ending" || this.#phase === "closed";
  }

  async listen({ server }: LifeParts): Promise<{ readonly port: number; readonly url: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen(this.#options.port, this.#options.host, resolve);
    await promise;
    server.off("error", reject);
    // A server that listens on a port has an address with one; only pipes have a string.
    const { port, address, family } = server.address() as AddressInfo;
    return { port, url: `http://${hostOf(address, family)}:${port}` };
  }

  /**
   * No new connections; workers register at the next hub, if there is one. What comes on connections that are open is served
   * like what runs, for as long as the grace lasts: whoever sent it cannot know better. Then the workers are told to go.
   */
  async drain(parts: LifeParts): Promise<void> {
    if (!this.isOpen) return this.close(parts);
    this.#phase = "draining";
    const { server, clients, workers, active } = parts;
    const graceMs = this.#options.drainGraceMs;
    // `server.close` of HTTP would close idle connections now, under requests that are on their way.
    NetServer.prototype.close.call(server);
    active.endConnections();
    workers.handOver({ graceMs });
    await untilQuiet(parts, graceMs);
    this.#phase = "ending";
    if (active.size > 0) {
      server.closeIdleConnections();
      active.cancelAll(shuttingDown);
      await waitWhile(() => active.size > 0 || clients.size > 0, DRAIN.lastWordsMs);
    }
    await workers.drain({ graceMs: DRAIN.goodbyeMs });
    return this.close(parts);
  }

  async close({ server, workers, active }: LifeParts): Promise<void> {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    active.cancelAll(shuttingDown);
    // What was cancelled tells its client in this turn, before the sockets go.
    await new Promise((resolve) => setImmediate(resolve));
    workers.close();
    server.closeAllConnections();
    await closed;
  }
}

function shuttingDown(): AppError {
  return new AppError("shutting_down", undefined, { retryAfter: RETRY_AFTER_S });
}

/** Until nothing runs and no connection is left, or nothing came on those that are for a while. At most `ms`. */
async function untilQuiet({ active, clients }: LifeParts, ms: number): Promise<void> {
  let busyAt = performance.now();
  await waitWhile(() => {
    if (active.size > 0) busyAt = performance.now();
    return active.size > 0 || (clients.size > 0 && performance.now() - busyAt < DRAIN.idleMs);
  }, ms);
}

async function waitWhile(isSo: () => boolean, ms: number): Promise<void> {
  const endsAt = performance.now() + ms;
  while (isSo() && performance.now() < endsAt) await sleep(Math.min(LOOK_EVERY_MS, endsAt - performance.now()));
}

/** An address that this machine can call. */
function hostOf(address: string, family: string): string {
  if (address === "0.0.0.0" || address === "::") return "127.0.0.1";
  return family === "IPv6" ? `[${address}]` : address;
}
