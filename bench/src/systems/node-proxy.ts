import { join } from "node:path";

import { freePort } from "../machine/ports.ts";
import { untilAnswers } from "./answers.ts";
import { CHAT_PATH, type RunningSystem, type Surroundings, TESTED_CORE } from "./system.ts";

/** The bare Node proxy of ../peers. */
export async function startNodeProxy({ programs, enginePort }: Surroundings): Promise<RunningSystem> {
  const port = await freePort();
  const file = join(import.meta.dirname, "..", "peers", "node-proxy.ts");
  const program = programs.start({
    name: "node-proxy",
    command: process.execPath,
    args: [file, String(port), `http://127.0.0.1:${enginePort}`],
    core: TESTED_CORE,
  });
  const system: RunningSystem = {
    name: "node-proxy",
    pid: program.pid,
    target: () => ({ port, path: CHAT_PATH, headers: {} }),
    stop: () => program.stop(),
  };
  await untilAnswers(system, program);
  return system;
}
