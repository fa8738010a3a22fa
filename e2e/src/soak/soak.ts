// `npm run soak -- --minutes 10`: does anything grow while a hub serves 1,000 streams of workers that come and go?
// Ends with 1 and says what, when something does. Linux only: it reads /proc.
import { parseArgs } from "node:util";

import { FULL_SOAK, risesOf, runSoak } from "./run-soak.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: String(FULL_SOAK.minutes) },
    streams: { type: "string", default: String(FULL_SOAK.streams) },
    workers: { type: "string", default: String(FULL_SOAK.workers) },
  },
});
const shape = {
  ...FULL_SOAK,
  minutes: Number(values.minutes),
  streams: Number(values.streams),
  workers: Number(values.workers),
};
const say = (line: string): void => void process.stdout.write(`${line}\n`);

say(`${shape.minutes} min, ${shape.streams} streams, ${shape.workers} workers that join and leave, 2 real ones`);
const { counts, problems, samples, workersLeft } = await runSoak(shape, say);
say(
  `${counts.complete} answers whole to the byte, ${counts.failedVisibly} failed visibly with their workers, ${counts.hungUp} hung up`,
);
say(`${workersLeft} workers left; rise after the warm-up:`);
for (const [name, rise] of Object.entries(risesOf(samples))) say(`  ${name} ${rise.toFixed(0)}`);
for (const problem of problems) say(`PROBLEM: ${problem}`);
say(problems.length === 0 ? "nothing grows" : "the soak failed");
process.exitCode = problems.length === 0 ? 0 : 1;
