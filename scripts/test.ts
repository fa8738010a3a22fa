// `npm test`: every test that needs no GPU. `npm test -- packages/tunnel` or `npm run e2e` take one part.
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";

const root = dirname(import.meta.dirname);
const parts = process.argv.slice(2);
const patterns = (parts.length > 0 ? parts : ["packages", "scripts", "e2e"]).map((part) =>
  part.endsWith(".ts") ? part : `${part}/**/*.test.ts`,
);

// Node runs one file less at a time than there are cores; ours wait more than they compute.
const concurrency = `--test-concurrency=${Math.max(2, availableParallelism())}`;
const result = spawnSync(process.execPath, ["--test", "--test-timeout=120000", concurrency, ...patterns], {
  cwd: root,
  stdio: "inherit",
});
process.exitCode = result.status ?? 1;
