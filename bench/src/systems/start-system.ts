import { startNginx } from "./nginx.ts";
import { startNodeProxy } from "./node-proxy.ts";
import { startPortkey } from "./portkey.ts";
import type { RunningSystem, Surroundings, SystemName } from "./system.ts";
import { startTokilake } from "./tokilake.ts";

/** Starts one system and waits until it answers. @throws NotInstalled when it cannot be measured on this machine. */
export async function startSystem(name: SystemName, surroundings: Surroundings): Promise<RunningSystem> {
  switch (name) {
    case "tokilake":
      return startTokilake(surroundings);
    case "nginx":
      return startNginx(surroundings);
    case "node-proxy":
      return startNodeProxy(surroundings);
    case "portkey":
      return startPortkey(surroundings);
  }
}
