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
  return topBy(profile, count, ({ functionName, url, lineNumber }) => ({
    name: functionName === "" ? "(anonymous)" : functionName,
    place: url === "" ? "" : `${shortPlace(url)}:${lineNumber + 1}`,
  }));
}

/** Seconds in which the thread was not idle. */
export function busySeconds(profile: CpuProfile): number {
  const idle = new Set(profile.nodes.filter((node) => node.callFrame.functionName === "(idle)").map((node) => node.id));
  const times = profile.timeDeltas.filter((_, index) => !idle.has(profile.samples[index] ?? 0));
  return times.reduce((sum, time) => sum + Math.max(0, time), 0) / 1e6;
}

/** As `topSelfTimes`, added up by part: a file of ours, a package, a module of Node, or V8 itself. */
export function topParts(profile: CpuProfile, count: number): SelfTime[] {
  return topBy(profile, count, ({ functionName, url }) => ({
    name: url === "" ? functionName : partOf(url),
    place: "",
  }));
}

type CallFrame = CpuProfile["nodes"][number]["callFrame"];

function topBy(
  profile: CpuProfile,
  count: number,
  keyOf: (frame: CallFrame) => Pick<SelfTime, "name" | "place">,
): SelfTime[] {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const times = new Map<string, Pick<SelfTime, "name" | "place"> & { microseconds: number }>();
  let busy = 0;
  for (const [index, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    if (frame === undefined || frame.functionName === "(idle)") continue;
    const microseconds = Math.max(0, profile.timeDeltas[index] ?? 0);
    busy += microseconds;
    const key = keyOf(frame);
    const time = times.get(`${key.name} ${key.place}`) ?? { ...key, microseconds: 0 };
    time.microseconds += microseconds;
    times.set(`${key.name} ${key.place}`, time);
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
  const rows = (times: readonly SelfTime[]) =>
    times.map(({ name, place, share }) => [`  ${name}`, `${(share * 100).toFixed(1)} %`, `  ${place}`.trimEnd()]);
  const functions = alignTable(rows(topSelfTimes(profile, 30)));
  return `\nSelf time of ${busySeconds(profile).toFixed(2)} s in ${path}\n${functions}by part\n${alignTable(rows(topParts(profile, 25)))}`;
}

/** From the package on: "hub/src/relay/run.ts", "node:internal/…", "ws/lib/sender.js". */
function shortPlace(url: string): string {
  return url.replace(/^file:\/\/.*\/(?:packages|node_modules)\//, "");
}

/** A file of ours, else the package or the module of Node. */
function partOf(url: string): string {
  const place = shortPlace(url);
  return url.includes("/node_modules/") ? (place.split("/")[0] ?? place) : place;
}
