import { ChildProgram } from "./child-program.ts";
import { poll } from "./poll.ts";
import { Problem } from "./problem.ts";

/** Loading takes 0.3 s; a cold disk and a busy machine make it longer. */
const START_MS = 30_000;

/** The engine of this repository, running. */
export interface OwnEngine {
  readonly program: ChildProgram;
  readonly url: string;
  /** Where llama.cpp has no build for this machine, the engine without a model takes its place. */
  readonly isSimulated: boolean;
}

/** Starts the tiny engine under the model name "tiny". @throws Problem when neither it nor its stand-in starts. */
export async function startOwnEngine(signal: AbortSignal): Promise<OwnEngine> {
  const real = await tryEngine([], signal);
  if (real.url !== undefined) return { program: real.program, url: real.url, isSimulated: false };
  const simulated = await tryEngine(["--simulated", "--model", "tiny"], signal);
  if (simulated.url !== undefined) return { program: simulated.program, url: simulated.url, isSimulated: true };
  throw new Problem(`The tiny engine does not start: ${real.program.lastWords}`);
}

async function tryEngine(
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ program: ChildProgram; url: string | undefined }> {
  let url: string | undefined;
  const program = new ChildProgram({
    name: "tiny engine",
    script: "packages/tiny-engine/src/main.ts",
    args: ["--port", "0", ...args],
    env: process.env,
    onLine: (line) => {
      if (line.startsWith("http://")) url ??= line.trim();
    },
  });
  try {
    await poll(() => Promise.resolve(url !== undefined || program.isGone || undefined), START_MS, signal);
  } finally {
    if (url === undefined) program.kill();
  }
  return { program, url };
}
