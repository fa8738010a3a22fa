#!/usr/bin/env node
import { runCli } from "./cli/cli.ts";
import { failureOf } from "./cli/failure.ts";

// `tokilake keys list | head -1`: the reader has what it wanted.
process.stdout.on("error", () => {});

try {
  await runCli(process.argv.slice(2), {
    env: process.env,
    output: {
      stdout: (text) => void process.stdout.write(text),
      stderr: (text) => void process.stderr.write(text),
    },
    now: Date.now,
  });
} catch (thrown) {
  const { text, exitCode } = failureOf(thrown);
  process.stderr.write(text);
  process.exitCode = exitCode;
}
// The channel to the keeper, where there is one, would keep the process.
if (process.connected) process.exit();
