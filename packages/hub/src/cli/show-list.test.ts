import assert from "node:assert/strict";
import { test } from "node:test";

import { showList } from "./show-list.ts";

const SHAPE = {
  headings: ["N", "NAME"],
  rowOf: (n: number) => [String(n), `name ${n}`],
  toJson: (n: number) => ({ n }),
  empty: "There are none.",
};

async function shown(
  flags: { readonly json?: boolean; readonly limit?: string },
  rows: readonly number[],
): Promise<{ stdout: string; stderr: string }> {
  const said = { stdout: "", stderr: "" };
  const output = { stdout: (text: string) => (said.stdout += text), stderr: (text: string) => (said.stderr += text) };
  await showList({ flags, output }, async ({ limit }) => rows.slice(0, limit), SHAPE);
  return said;
}

test("a list is a table for people and JSON for scripts", async () => {
  assert.deepEqual(await shown({}, [1, 2]), { stdout: "N  NAME\n1  name 1\n2  name 2\n", stderr: "" });
  assert.deepEqual(await shown({ json: true }, [1]), { stdout: '[\n  {\n    "n": 1\n  }\n]\n', stderr: "" });
});

test("a list that is not whole says so, where scripts do not read", async () => {
  const more = "There are more than 2. See them with --limit N.\n";

  assert.equal((await shown({ limit: "2" }, [1, 2])).stderr, "");
  assert.deepEqual(await shown({ limit: "2" }, [1, 2, 3]), { stdout: "N  NAME\n1  name 1\n2  name 2\n", stderr: more });
  assert.equal((await shown({ limit: "2", json: true }, [1, 2, 3])).stderr, more);
});

test("of nothing people are told in words, and scripts get an empty list", async () => {
  assert.deepEqual(await shown({}, []), { stdout: "", stderr: "There are none.\n" });
  assert.deepEqual(await shown({ json: true }, []), { stdout: "[]\n", stderr: "" });
});

test("a limit that is none is refused before anything is read", async () => {
  await assert.rejects(shown({ limit: "0" }, [1]), { name: "UsageError" });
});
