import { setTimeout as wait } from "node:timers/promises";

import type { LoadMeter } from "./cpu-meter.ts";

/** Cores that others may use when a measurement starts. */
const QUIET_CORES = 0.15;
/** How long to look each time, and how long to wait at most. */
const LOOK_MS = 500;
const MAX_WAIT_MS = 120_000;

/** Waits until other programs let the machine alone, at most two minutes. The meter starts anew when it returns. */
export async function untilQuiet(meter: LoadMeter): Promise<void> {
  const deadline = performance.now() + MAX_WAIT_MS;
  meter.lap();
  do {
    await wait(LOOK_MS);
  } while (meter.lap().foreignCores > QUIET_CORES && performance.now() < deadline);
}
