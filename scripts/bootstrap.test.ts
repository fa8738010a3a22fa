import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

/** Ends as the hub does: at SIGTERM, and says so. */
const PROGRAM = `
process.once("SIGTERM", () => { console.log("ended in order"); process.exit(0); });
setInterval(() => {}, 1000);
console.log("ready " + process.pid);
`;

test(
  "when npm is ended, what it started ends in order, and does not go on unseen",
  // The shell that npm starts scripts in is another there, and nobody sends signals.
  { skip: process.platform === "win32", timeout: 20_000 },
  async (t) => {
    const root = await installedRepository();
    t.after(() => rm(root, { recursive: true }));
    // As npm does it: a shell that stays, and waits. A command behind it keeps it from handing itself over to the first.
    const shell = spawn("sh", ["-c", `"${process.execPath}" scripts/bootstrap.mjs program.mjs; :`], {
      cwd: root,
      env: { ...process.env, npm_lifecycle_event: "start" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    for await (const chunk of shell.stdout.setEncoding("utf8")) {
      const wasReady = output.includes("ready");
      output += String(chunk);
      const [, pid] = /^ready (\d+)$/m.exec(output) ?? [];
      if (wasReady || pid === undefined) continue;
      // Nothing is left when this test fails.
      t.after(() => endIfThere(Number(pid)));
      shell.kill("SIGTERM");
    }

    assert.match(output, /^ended in order$/m);
  },
);

/** A folder that has this repository's bootstrap, an install that is up to date, and a program. */
async function installedRepository(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "tokilake-bootstrap-"));
  const lock = "{}";
  await mkdir(join(root, "scripts"));
  await mkdir(join(root, "node_modules"));
  await copyFile(join(import.meta.dirname, "bootstrap.mjs"), join(root, "scripts/bootstrap.mjs"));
  await writeFile(join(root, "package-lock.json"), lock);
  await writeFile(join(root, "node_modules/.installed-lock"), createHash("sha256").update(lock).digest("hex"));
  await writeFile(join(root, "program.mjs"), PROGRAM);
  return root;
}

function endIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself, as it should.
  }
}
