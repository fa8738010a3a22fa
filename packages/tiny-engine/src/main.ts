#!/usr/bin/env node
import { once } from "node:events";
import { parseArgs } from "node:util";

import type { ListeningServer } from "./http/listening-server.ts";
import { startTinyEngine } from "./real/tiny-engine.ts";
import { startSimulatedEngine } from "./simulated/simulated-engine.ts";

const USAGE = "Usage: tiny-engine [--port 11500] [--host 127.0.0.1] [--simulated] [--model NAME] [--parallel 4]";

try {
  await using engine = await start();
  process.stdout.write(`${engine.url}\n`);
  await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
} catch (thrown) {
  process.stderr.write(`tiny-engine: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
  process.exitCode = 1;
}

function start(): Promise<ListeningServer> {
  const { port, host, simulated, model, parallel } = readArguments();
  const where = { port: wholeNumber("--port", port, 65_535), host };
  if (simulated) return startSimulatedEngine({ ...where, models: [model ?? "simulated"] });
  const requests = wholeNumber("--parallel", parallel, 64);
  return startTinyEngine({ ...where, modelName: model ?? "tiny", parallel: requests });
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        port: { type: "string", default: "11500" },
        host: { type: "string", default: "127.0.0.1" },
        simulated: { type: "boolean", default: false },
        model: { type: "string" },
        parallel: { type: "string", default: "4" },
      },
    }).values;
  } catch (cause) {
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}\n${USAGE}`, { cause });
  }
}

function wholeNumber(name: string, text: string, maximum: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= maximum) return value;
  throw new Error(`${name} must be a whole number up to ${maximum}, not ${JSON.stringify(text)}.`);
}
