#!/usr/bin/env node
import { homedir, hostname } from "node:os";

import metadata from "../package.json" with { type: "json" };
import { tokiame } from "./tokiame.ts";

/** What shells report for a program ended by Ctrl-C. */
const INTERRUPTED = 130;

const stop = Promise.withResolvers<void>();
let signals = 0;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (++signals > 1) process.exit(INTERRUPTED);
    stop.resolve();
  });
}

process.exitCode = await tokiame(
  process.argv.slice(2),
  {
    env: process.env,
    home: homedir(),
    hostName: hostname(),
    pid: process.pid,
    userId: process.getuid?.(),
    isTerminal: process.stdout.isTTY,
    version: metadata.version,
    print: (text) => void process.stdout.write(text),
    stopAsked: stop.promise,
    now: () => new Date(),
    monotonicMs: () => performance.now(),
  },
  (text) => void process.stderr.write(text),
);
