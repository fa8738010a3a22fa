import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { alignTable } from "./text-table.ts";

/** The parts of a V8 CPU profile (`--cpu-prof`) that tell where time went. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  /** Node of each sample. */
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

/** A function and the time spent in itself, not in what it called. */
export interface SelfTime {
  readonly name: string;
  readonly place: string;
  /** Of the time that the thread was not idle. */
  readonly share: number;
}

/** The functions with the most time of their own, the first one most. Waiting is left out. */
export function topSelfTimes(profile: CpuProfile, count: number): SelfTime[] {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const times = new Map<string, { name: string; place: string; microseconds: number }>();
  let busy = 0;
  for (const [index, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    if (frame === undefined || frame.functionName === "(idle)") continue;
    const microseconds = Math.max(0, profile.timeDeltas[index] ?? 0);
    busy += microseconds;
    const name = frame.functionName === "" ? "(anonymous)" : frame.functionName;
    const place = frame.url === "" ? "" : `${shortPlace(frame.url)}:${frame.lineNumber + 1}`;
    const time = times.get(`${name} ${place}`) ?? { name, place, microseconds: 0 };
    time.microseconds += microseconds;
    times.set(`${name} ${place}`, time);
  }
  const sorted = [...times.values()].toSorted((a, b) => b.microseconds - a.microseconds);
  return sorted.slice(0, count).map(({ name, place, microseconds }) => ({ name, place, share: microseconds / busy }));
}

/** The top of every profile in a folder: one for each thread of the process. */
export function profileText(folder: string): string {
  const files = readdirSync(folder).filter((file) => file.endsWith(".cpuprofile"));
  if (files.length === 0) return `No profile was written to ${folder}.\n`;
  return files.map((file) => oneProfileText(join(folder, file))).join("");
}

function oneProfileText(path: string): string {
  // Written by V8; a field that is missing shows as an error here.
  const profile = JSON.parse(readFileSync(path, "utf8")) as CpuProfile;
  const rows = topSelfTimes(profile, 40).map(({ name, place, share }) => [
    `  ${name}`,
    `${(share * 100).toFixed(1)} %`,
    `  ${place}`,
  ]);
  return `\nSelf time in ${path}\n${alignTable(rows)}`;
}

/** From the package on: "hub/src/relay/run.ts", "node:internal/…", "ws/lib/sender.js". */
function shortPlace(url: string): string {
  return url.replace(/^file:\/\/.*\/(?:packages|node_modules)\//, "");
}
