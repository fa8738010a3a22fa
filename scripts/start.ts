// `npm start`: a hub, a worker and an engine, ready to be asked. Keys and data stay in ./data (TOKILAKE_DATA_DIR).
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { banner } from "./start/banner.ts";
import { checkPort } from "./start/port-check.ts";
import { Problem } from "./start/problem.ts";
import { RunningSystem } from "./start/system.ts";

/** Two signals within this time are one key press: npm passes on what the terminal has already sent to all. */
const SAME_PRESS_MS = 500;

try {
  await main();
} catch (thrown) {
  const text = thrown instanceof Problem ? thrown.message : thrown instanceof Error ? thrown.stack : String(thrown);
  process.stderr.write(`${text}\n`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const port = readPort();
  const host = process.env["TOKILAKE_HOST"] || "0.0.0.0";
  await checkPort(port, host);
  const dataDir = resolve(process.env["TOKILAKE_DATA_DIR"] || "./data");
  const system = new RunningSystem({ port, host, dataDir, onLine: (line) => process.stderr.write(`${line}\n`) });
  const stopped = stopSignal(() => system.kill());
  try {
    process.stderr.write("Starting …\n");
    const facts = await system.start(stopped);
    process.stdout.write(banner(facts));
    await aborted(AbortSignal.any([stopped, system.failed]));
    system.failed.throwIfAborted();
  } catch (thrown) {
    // Ctrl-C while starting is no failure.
    if (!stopped.aborted) throw thrown;
  } finally {
    if (stopped.aborted) process.stderr.write("\nStopping: running answers may finish. Ctrl-C again stops at once.\n");
    await system.stop();
  }
}

function readPort(): number {
  const text = portArgument() ?? (process.env["TOKILAKE_PORT"] || "19981");
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new Problem(`The port must be a number from 1 to 65535, not ${JSON.stringify(text)}.`);
}

function portArgument(): string | undefined {
  try {
    return parseArgs({ options: { port: { type: "string" } } }).values.port;
  } catch (cause) {
    const [sentence] = cause instanceof Error ? cause.message.split(". ") : [String(cause)];
    throw new Problem(`${sentence}. Usage: npm start -- [--port 19981]`);
  }
}

/** Aborted at the first signal to stop; `now` is called at the second, and the process ends. */
function stopSignal(now: () => void): AbortSignal {
  const stop = new AbortController();
  let firstMs = 0;
  const onSignal = (): void => {
    if (!stop.signal.aborted) {
      firstMs = performance.now();
      stop.abort();
    } else if (performance.now() - firstMs > SAME_PRESS_MS) {
      now();
      process.exit(130);
    }
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  return stop.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
