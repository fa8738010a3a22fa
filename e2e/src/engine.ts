import { RunningProcess } from "./running-process.ts";

/** An engine in a process of its own. */
export interface EngineProcess extends AsyncDisposable {
  readonly url: string;
  readonly process: RunningProcess;
}

/** Starts the tiny engine: real tokens of the model "tiny", or the simulated engine that can be killed. */
export async function startEngineProcess(
  options: { simulated?: boolean; command?: readonly string[] } = {},
): Promise<EngineProcess> {
  const process = new RunningProcess({
    name: options.simulated === true ? "simulated-engine" : "tiny-engine",
    script: "packages/tiny-engine/src/main.ts",
    command: options.command ?? [],
    args: ["--port", "0", ...(options.simulated === true ? ["--simulated"] : [])],
  });
  try {
    const url = await process.findLine((line) => (line.startsWith("http://") ? line.trim() : undefined));
    return { url, process, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
  } catch (thrown) {
    await process[Symbol.asyncDispose]();
    throw thrown;
  }
}
