import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

import { AppError } from "./errors.ts";
import type { ActiveRuns } from "./relay/active-runs.ts";

/** Workers get so long to take their good-bye when nothing runs on them any more. */
const GOODBYE_MS = 1_000;

export interface LifeParts {
  readonly server: Server;
  readonly workers: { drain(options: { readonly graceMs: number }): Promise<void>; close(): void };
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
  #phase: "open" | "draining" | "closed" = "open";

  constructor(options: LifeOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#phase === "open";
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

  /** Requests end first, as they need their workers; then the workers are told to go. */
  async drain(parts: LifeParts): Promise<void> {
    if (!this.isOpen) return this.close(parts);
    this.#phase = "draining";
    parts.server.close();
    parts.server.closeIdleConnections();
    await settledWithin(parts.active.idle(), this.#options.drainGraceMs);
    parts.active.cancelAll(() => new AppError("shutting_down"));
    await parts.workers.drain({ graceMs: GOODBYE_MS });
    return this.close(parts);
  }

  async close({ server, workers, active }: LifeParts): Promise<void> {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    active.cancelAll(() => new AppError("shutting_down"));
    // What was cancelled tells its client in this turn, before the sockets go.
    await new Promise((resolve) => setImmediate(resolve));
    workers.close();
    server.closeAllConnections();
    await closed;
  }
}

async function settledWithin(promise: Promise<void>, ms: number): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, over]);
  clearTimeout(timer);
}

/** An address that this machine can call. */
function hostOf(address: string, family: string): string {
  if (address === "0.0.0.0" || address === "::") return "127.0.0.1";
  return family === "IPv6" ? `[${address}]` : address;
}
