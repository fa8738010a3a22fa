// The engine behind every system: the simulated one with the bench models. Prints its port.
import { startSimulatedEngine } from "@tokilake/tiny-engine";

import { BENCH_MODELS } from "./bench-models.ts";

const engine = await startSimulatedEngine({
  models: Object.keys(BENCH_MODELS),
  behaviours: BENCH_MODELS,
  slots: 10_000,
});
process.stdout.write(`${JSON.stringify({ port: engine.port })}\n`);
process.stdin.on("end", () => process.exit(0)).resume();
