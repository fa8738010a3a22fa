import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { freePort } from "../machine/ports.ts";
import { untilAnswers } from "./answers.ts";
import { CHAT_PATH, NotInstalled, type RunningSystem, type Surroundings, TESTED_CORE } from "./system.ts";

/** Portkey's open gateway, version and dependencies as `bench/peers/package-lock.json` says; installed when missing. */
export async function startPortkey({ programs, enginePort, root }: Surroundings): Promise<RunningSystem> {
  const folder = join(root, "bench", "peers");
  const server = join(folder, "node_modules", "@portkey-ai", "gateway", "build", "start-server.js");
  if (!existsSync(server)) install(folder);
  const port = await freePort();
  const program = programs.start({
    name: "portkey",
    command: process.execPath,
    args: [server, "--headless", `--port=${port}`],
    core: TESTED_CORE,
    env: { NODE_ENV: "production" },
  });
  const headers = {
    authorization: "Bearer bench",
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": `http://127.0.0.1:${enginePort}/v1`,
  };
  const system: RunningSystem = {
    name: "portkey",
    pid: program.pid,
    target: () => ({ port, path: CHAT_PATH, headers }),
    stop: () => program.stop(),
  };
  await untilAnswers(system, program);
  return system;
}

function install(folder: string): void {
  process.stderr.write("Installing Portkey (once, 25 MB) …\n");
  const result = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
    encoding: "utf8",
  });
  if (result.status !== 0) throw new NotInstalled(`not installed: npm ci in bench/peers failed: ${result.stderr}`);
}
