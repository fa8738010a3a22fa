import { totalmem } from "node:os";

import { TUNNEL_LIMITS, type TunnelLimits } from "../limits.ts";
import { MemoryPool } from "../mux/memory-pool.ts";
import type { V1Environment } from "../v1/v1-environment.ts";

/** The real clock, randomness and event loop. */
export const NODE_ENVIRONMENT: V1Environment = {
  now: () => performance.now(),
  random: Math.random,
  schedule: (task) => void setImmediate(task),
  after: (ms, task) => void setTimeout(task, ms).unref(),
};

export const TICK_MS = 1000;

/** The given limits over the default ones. */
export function limitsWith(changes: Partial<TunnelLimits> | undefined): TunnelLimits {
  return { ...TUNNEL_LIMITS, ...changes };
}

/** The pool of one server or client: never more than a quarter of the machine's memory. */
export function poolOf(limits: TunnelLimits): MemoryPool {
  return new MemoryPool(Math.min(limits.poolBytes, totalmem() / 4));
}
