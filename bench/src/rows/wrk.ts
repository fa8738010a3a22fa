import { writeFileSync } from "node:fs";
import { join } from "node:path";

import type { ClosedLoopJob, LoadResult, Target } from "../generators/job.ts";
import { cpuMsOf } from "../machine/cpu-meter.ts";
import { isInstalled } from "../machine/machine.ts";
import type { ProcessGroup } from "../machine/process-group.ts";
import { OTHER_CORE } from "../systems/system.ts";

/** Whether Debian's `wrk` is there: a generator in C leaves more of its core to engine and worker than ours. */
export function hasWrk(): boolean {
  return isInstalled("wrk", "--version");
}

/** A closed loop by wrk: one thread, first a run to warm up, then the one that counts. */
export async function runWrk(programs: ProcessGroup, job: Omit<ClosedLoopJob, "kind">): Promise<LoadResult> {
  const script = join(programs.folder, "wrk.lua");
  writeFileSync(script, wrkScript(job.target, job.body));
  await runFor(programs, job, script, job.warmMs);
  const startMs = cpuMsOf(job.watch);
  const output = await runFor(programs, job, script, job.runMs);
  const watchedCpuMs = cpuMsOf(job.watch) - startMs;
  return { ...parseWrk(output), events: 0, bytes: 0, watchedCpuMs, ownCpuMs: 0 };
}

async function runFor(
  programs: ProcessGroup,
  job: Omit<ClosedLoopJob, "kind">,
  script: string,
  runMs: number,
): Promise<string> {
  // Whole seconds are all that it takes.
  const seconds = Math.max(1, Math.round(runMs / 1000));
  const url = `http://127.0.0.1:${job.target.port}${job.target.path}`;
  const args = ["-t1", `-c${job.connections}`, `-d${seconds}s`, "--timeout", "10s", "-s", script, url];
  return programs.run({ name: "wrk", command: "wrk", args, core: OTHER_CORE });
}

/** What wrk is to send, and how it is to tell the result. */
export function wrkScript(target: Target, body: string): string {
  const headers = { "content-type": "application/json", ...target.headers };
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers[${luaText(name)}] = ${luaText(value)}`);
  return `wrk.method = "POST"
wrk.body = ${luaText(body)}
${lines.join("\n")}
done = function(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("RESULT %d %d %d\\n", summary.requests, summary.duration, failed))
end
`;
}

/** Text as Lua writes it: each byte that is not plain is escaped by its number. */
function luaText(text: string): string {
  const escaped = Array.from(Buffer.from(text), (byte) => {
    const isPlain = byte >= 32 && byte < 127 && byte !== 34 && byte !== 92;
    return isPlain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, "0")}`;
  });
  return `"${escaped.join("")}"`;
}

/** Reads the line that the script prints. @throws Error when it is not there. */
export function parseWrk(output: string): Pick<LoadResult, "requests" | "elapsedMs" | "errors"> {
  const [, requests, microseconds, errors] = /^RESULT (\d+) (\d+) (\d+)$/m.exec(output) ?? [];
  if (requests === undefined) throw new Error(`wrk gave no result: ${output.slice(0, 500)}`);
  return { requests: Number(requests), elapsedMs: Number(microseconds) / 1000, errors: Number(errors) };
}
