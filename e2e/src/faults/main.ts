// `npm run e2e:faults`: every file that README.md names, what takes long too.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { readFaultList } from "./fault-list.ts";
import { LONG_VARIABLE } from "./long.ts";

/** The longest test waits 65 s; a file runs such tests side by side. */
const TIMEOUT_MS = 240_000;

const files = new Set(["e2e/src/faults/fault-list.test.ts", "e2e/src/fault-proxy.test.ts"]);
for (const { file } of readFaultList()) if (file !== undefined) files.add(file);

const result = spawnSync(process.execPath, ["--test", `--test-timeout=${TIMEOUT_MS}`, ...files], {
  cwd: join(import.meta.dirname, "../../.."),
  stdio: "inherit",
  env: { ...process.env, [LONG_VARIABLE]: "1" },
});
process.exitCode = result.status ?? 1;
