import { CHAT_PATH, type RunningSystem } from "./system.ts";

/** The engine without anything in front. */
export function directSystem(enginePort: number): RunningSystem {
  return {
    name: "direct",
    pid: undefined,
    target: () => ({ port: enginePort, path: CHAT_PATH, headers: {} }),
    stop: () => Promise.resolve(),
  };
}
