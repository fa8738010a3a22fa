import { join } from "node:path";

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
