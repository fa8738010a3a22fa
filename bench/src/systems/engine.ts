import { join } from "node:path";

import { waitUntil } from "../machine/ports.ts";
import type { ProcessGroup } from "../machine/process-group.ts";
import { OTHER_CORE } from "./system.ts";

/** Starts the simulated engine behind every system and returns its port. */
export async function startEngine(programs: ProcessGroup): Promise<number> {
  const { lines } = programs.startAsked({
    name: "engine",
    command: process.execPath,
    args: [join(import.meta.dirname, "engine-process.ts")],
    core: OTHER_CORE,
  });
  // Printed by engine-process.ts once it listens.
  const { port } = (await lines.next(10_000)) as { readonly port: number };
  return port;
}

/** How long requests of the last load may still run in the engine. */
const IDLE_MS = 10_000;

/** Waits until the engine has nothing to do. @throws Error when what was measured before left requests running. */
export async function untilEngineIsIdle(enginePort: number): Promise<void> {
  const isIdle = async () => {
    const response = await fetch(`http://127.0.0.1:${enginePort}/__sim/counts`);
    // As packages/tiny-engine's RequestCounts.
    return ((await response.json()) as { readonly active: number }).active === 0;
  };
  await waitUntil("The engine after the last load", isIdle, { timeoutMs: IDLE_MS, isOver: () => false });
}
