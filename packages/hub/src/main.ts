#!/usr/bin/env node
import { runCli } from "./cli/cli.ts";
import { failureOf } from "./cli/failure.ts";

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
