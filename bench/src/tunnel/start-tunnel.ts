import { join } from "node:path";
import { pathToFileURL } from "node:url";

import type { Target } from "../generators/job.ts";
import type { JsonLines } from "../machine/json-lines.ts";
import type { StartedProgram } from "../machine/started-program.ts";
import { CHAT_PATH, OTHER_CORE, type RunningSystem, type Surroundings, TESTED_CORE } from "../systems/system.ts";

/** What the tunnel's rows measure side by side: both versions of its protocol, and the same server without a tunnel. */
export const TUNNEL_NAMES = ["v2", "v1", "direct"] as const;

/** Name of what a tunnel row measures. */
export type TunnelName = (typeof TUNNEL_NAMES)[number];

/** The small server of server.ts, what is behind it, and the line in between. */
export interface RunningTunnel extends RunningSystem {
  readonly name: TunnelName;
  readonly pid: number;
  readonly url: string;
  /** Collects garbage, so that memory read afterwards is memory in use. Returns before it is done. */
  collectGarbage(): void;
}

/** What to start. */
export interface TunnelOptions {
  readonly name: TunnelName;
  /** Connections of the worker; 0: none is started. Each takes 256 streams. */
  readonly sessions: number;
  /**
   * A delay line on the only way that has something to show: between server and worker, or, without a tunnel, between
   * server and client. Milliseconds of one direction; undefined: none.
   */
  readonly delayMs?: number;
}

/** How long a program may take to start, ten thousand handshakes not included. */
const START_MS = 20_000;

/** Starts the server and what belongs to it, and waits until all is connected. @throws Error with what a program said. */
export async function startTunnel(surroundings: Surroundings, options: TunnelOptions): Promise<RunningTunnel> {
  const { name, sessions, delayMs } = options;
  const started: StartedProgram[] = [];
  const start = async (file: string, args: readonly string[], rest: { core?: number; flags?: readonly string[] }) => {
    const { program, lines } = startFile(surroundings, file, args, rest);
    started.push(program);
    return { program, said: await lines.next(START_MS) };
  };
  const server = await start("server.ts", [name], { core: TESTED_CORE, flags: serverFlags(surroundings, name) });
  const port = portIn(server.said);
  // All of a long line's programs are busy: the kernel places them.
  const line = delayMs === undefined ? undefined : await start("delay-line.ts", [String(port), String(delayMs)], {});
  const linePort = line === undefined ? port : portIn(line.said);
  if (name !== "direct" && sessions > 0) {
    const core = line === undefined ? { core: OTHER_CORE } : {};
    await start("worker.ts", [`http://127.0.0.1:${linePort}`, String(sessions)], core);
  }
  const target: Target = { port: name === "direct" ? linePort : port, path: CHAT_PATH, headers: {} };
  return {
    name,
    pid: server.program.pid,
    url: `http://127.0.0.1:${port}`,
    target: () => target,
    stop: async () => void (await Promise.all(started.map((program) => program.stop()))),
    collectGarbage: () => server.program.signal("SIGUSR2"),
  };
}

/** Sessions that this many streams need. */
export function sessionsFor(streams: number): number {
  return Math.ceil(streams / STREAMS_PER_SESSION);
}

/** A little less than the tunnel's own bound for a session: closed streams free their place a moment later. */
const STREAMS_PER_SESSION = 250;

function startFile(
  { programs }: Surroundings,
  file: string,
  args: readonly string[],
  { core, flags = [] }: { core?: number; flags?: readonly string[] },
): { program: StartedProgram; lines: JsonLines } {
  return programs.startAsked({
    name: `tunnel-${file.replace(".ts", "")}`,
    command: process.execPath,
    args: [...flags, join(import.meta.dirname, file), ...args],
    ...(core === undefined ? {} : { core }),
  });
}

function serverFlags({ profileFolder }: Surroundings, name: TunnelName): readonly string[] {
  const hook = join(import.meta.dirname, "..", "systems", "collect-garbage-on-signal.ts");
  const flags = ["--expose-gc", "--import", pathToFileURL(hook).href];
  if (profileFolder === undefined || name !== "v2") return flags;
  return [...flags, "--cpu-prof", `--cpu-prof-dir=${profileFolder}`];
}

function portIn(said: unknown): number {
  // Written by server.ts and delay-line.ts, of the same version as this program.
  return (said as { readonly port: number }).port;
}
