import { existsSync, rmSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

import type { ThreadOptions } from "../batched-request-log.ts";

// A writer that dies of its first order while there is a file `<database>.die1`, `.die2`, …: one death each. Then it works.
const path = (workerData as ThreadOptions).databaseUrl.slice("sqlite:".length);
const death = ["die1", "die2", "die3"].map((name) => `${path}.${name}`).find((file) => existsSync(file));
if (death === undefined) {
  await import("../request-log-thread.ts");
} else {
  parentPort?.once("message", () => {
    rmSync(death);
    throw new Error("a writer that dies");
  });
  parentPort?.postMessage({ is: "ready" });
}
