// A load generator: one job, as JSON in the first argument; answers in lines of JSON. Started by the harness on a core
// of its own choice. Ends when the job is done or its standard input closes, so it never outlives the harness.
import { createInterface } from "node:readline";

import { runBulk } from "./bulk.ts";
import { runClosedLoop } from "./closed-loop.ts";
import { HeldStreams } from "./hold-streams.ts";
import { HeldWorkers } from "./hold-workers.ts";
import type { Job } from "./job.ts";
import { runOpenLoop } from "./open-loop.ts";
import { runStreams } from "./streams.ts";

process.stdin.on("end", () => process.exit(1));
const asked = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// The harness wrote it a moment ago, in the same version of this program.
await run(JSON.parse(process.argv[2] ?? "null") as Job);
process.exit(0);

async function run(job: Job): Promise<void> {
  switch (job.kind) {
    case "closed-loop":
      return say(await runClosedLoop(job));
    case "open-loop":
      return say(await runOpenLoop(job));
    case "streams":
      return say(await runStreams(job));
    case "bulk":
      return say(await runBulk(job));
    case "hold-streams":
      return hold(new HeldStreams(job), job.levels);
    case "hold-workers":
      return hold(new HeldWorkers(job), job.levels);
  }
}

interface Holding {
  grow(count: number): Promise<void>;
  readonly failed: Promise<never>;
}

/** Grows to each level, says so, and stays there until it is told to go on. */
async function hold(held: Holding, levels: readonly number[]): Promise<void> {
  for (const open of levels) {
    await Promise.race([held.grow(open), held.failed]);
    say({ open });
    await Promise.race([asked.next(), held.failed]);
  }
}

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
