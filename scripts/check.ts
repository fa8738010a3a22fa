// `npm run check`: types, lint (with the structure's import rules), format. `npm run fix` mends what can be mended.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const fix = process.argv.includes("--fix");

const steps: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ["types", "tsc", "-p", "."],
  ["lint and structure", "oxlint", "--type-aware", ...(fix ? ["--fix"] : [])],
  ["format", "oxfmt", ...(fix ? [] : ["--check"])],
];

for (const [name, command, ...args] of steps) {
  process.stdout.write(`\n${name}: ${command} ${args.join(" ")}\n`);
  const file = join(root, "node_modules", ".bin", process.platform === "win32" ? `${command}.cmd` : command);
  const result = spawnSync(file, args, { cwd: root, stdio: "inherit", shell: process.platform === "win32" });
  if (result.status !== 0) process.exitCode = 1;
}
