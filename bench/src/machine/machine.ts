import { spawnSync } from "node:child_process";
import { availableParallelism, cpus, release, totalmem } from "node:os";

/** What a figure depends on besides the code. */
export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGigabytes: number;
  readonly kernel: string;
  readonly node: string;
  /** Commit of this tree, "+ changes" when it has some; "unknown" outside of git. */
  readonly commit: string;
  /** Whether programs can be kept on one core each. */
  readonly canPin: boolean;
}

/** Reads it from the system; starts `git` and `taskset`. */
export function describeMachine(root: string): Machine {
  const cores = availableParallelism();
  return {
    cores,
    processor: cpus()[0]?.model.trim() ?? "unknown processor",
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    commit: describeCommit(root),
    canPin: cores > 1 && isInstalled("taskset", "--version"),
  };
}

/** Whether a program of the system can be started. */
export function isInstalled(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).error === undefined;
}

function describeCommit(root: string): string {
  const git = (...args: string[]) => spawnSync("git", args, { cwd: root, encoding: "utf8" });
  const head = git("rev-parse", "--short=10", "HEAD");
  if (head.status !== 0) return "unknown";
  const hasChanges = git("status", "--porcelain", "--untracked-files=no").stdout.trim() !== "";
  return head.stdout.trim() + (hasChanges ? " + changes" : "");
}
