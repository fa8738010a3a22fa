import assert from "node:assert/strict";
import { test } from "node:test";

import { temporaryFolder } from "../temporary-folder.ts";
import { runCli } from "./cli.ts";
import { type Failure, failureOf } from "./failure.ts";

test("each mistake in a command is said with the next step", async () => {
  using folder = temporaryFolder();
  const cases: [argv: string[], text: string, exitCode: number][] = [
    [["sing"], 'There is no command "sing". Try: tokilake --help', 2],
    [["keys"], "keys what? It is tokilake keys create, keys list, keys rotate or keys revoke. Try: tokilake --help", 2],
    [["--prot", "1"], "Unknown option '--prot'. Try: tokilake --help", 2],
    [["keys", "list", "--limit", "-1"], "Option '--limit' needs a value. Try: tokilake --help", 2],
    [["keys", "list", "--port", "1"], "--port does not belong to tokilake keys list. Try: tokilake --help", 2],
    [["keys", "list", "all"], '"all" is one word too many. Try: tokilake --help', 2],
    [
      ["keys", "create", "--kind", "user"],
      '--kind cannot be "user". It is api (for SDKs) or worker (for tokiame). Try: tokilake --help',
      2,
    ],
    [
      ["keys", "create", "--kind", "api"],
      "--name is missing. It says whose key this is, such as --name laptop. Try: tokilake --help",
      2,
    ],
    [
      ["keys", "create", "--kind", "api", "--name", "a\u001b[2J"],
      "--name is at most 64 characters, none of them control characters. Try: tokilake --help",
      2,
    ],
    [["keys", "revoke"], "Which one? tokilake keys revoke ID|NAME. Try: tokilake --help", 2],
    [["keys", "revoke", "nobody"], 'There is no key "nobody". See which there are: tokilake keys list.', 1],
    [
      ["keys", "revoke", `sk-${"x".repeat(43)}`],
      "That is the key itself. Name it by its id or its name: tokilake keys list. Try: tokilake --help",
      2,
    ],
  ];

  const results = await Promise.all(cases.map(([argv]) => failureIn(folder.path, argv)));

  assert.deepEqual(
    results,
    cases.map(([, text, exitCode]) => ({ text: `tokilake: ${text}\n`, exitCode })),
  );
});

test("a fault of ours shows its stack and asks to be reported", () => {
  const { text, exitCode } = failureOf(new TypeError("oh no"));

  assert.match(text, /^tokilake: this is a fault in tokilake itself, please report it:\nTypeError: oh no\n {4}at /);
  assert.equal(exitCode, 1);
});

async function failureIn(dataDir: string, argv: readonly string[]): Promise<Failure | undefined> {
  const output = { stdout: assert.fail, stderr: assert.fail };
  try {
    await runCli(argv, { env: { TOKILAKE_DATA_DIR: dataDir }, output, now: () => 0 });
    return undefined;
  } catch (thrown) {
    return failureOf(thrown);
  }
}
