import { setTimeout as wait } from "node:timers/promises";

import type { Held, Job } from "../generators/job.ts";
import { LoadMeter, residentBytesOf } from "../machine/cpu-meter.ts";
import { type Bench, startGenerator } from "./bench.ts";

/** How long a process is left alone before its memory is read: the last answers are written, timers have run. */
const SETTLE_MS = 1000;
/** How long opening a level may take. Ten thousand sessions need half a minute of the generator alone. */
const OPEN_MS = 180_000;

/** What is opened in steps, and whose memory is read at each. */
export interface Holding {
  readonly job: Extract<Job, { readonly levels: readonly number[] }>;
  readonly pid: number;
  /** Before memory is read. */
  readonly collect: () => void;
  /** At each level, with what each one of them needs. */
  readonly onLevel: (count: number, bytesEach: number, foreignCores: number) => void | Promise<void>;
}

/** Opens each level in turn. @throws Error when something broke. */
export async function hold(bench: Bench, { job, pid, collect, onLevel }: Holding): Promise<void> {
  const meter = new LoadMeter(() => bench.surroundings.programs.pids);
  const before = await settledBytes(pid, collect);
  const { program, lines } = startGenerator(bench, job);
  for (const level of job.levels) {
    // Written by generators/main.ts, of the same version as this program.
    const { open } = (await lines.next(OPEN_MS)) as Held;
    if (open !== level) throw new Error(`${open} are open instead of ${level}.`);
    const bytes = await settledBytes(pid, collect);
    await onLevel(level, (bytes - before) / level, meter.lap().foreignCores);
    lines.send("go on");
  }
  if ((await program.ended()) !== 0) throw new Error(`Something broke while it was held: ${program.said()}`);
}

async function settledBytes(pid: number, collect: () => void): Promise<number> {
  await wait(SETTLE_MS / 2);
  collect();
  await wait(SETTLE_MS / 2);
  return residentBytesOf(pid);
}
