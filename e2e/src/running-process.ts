import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The repository's root. */
const ROOT = dirname(dirname(import.meta.dirname));

/** Characters of output kept for a failed test; the oldest go first. */
const KEPT_LOG = 256 * 1024;

/** How long a program may take to say that it is ready: a cold start on a busy machine takes two seconds. */
const READY_TIMEOUT_MS = 20_000;

export interface ProgramOptions {
  /** In logs and errors: "hub", "worker-a". */
  readonly name: string;
  /** From the root of the repository. */
  readonly script: string;
  readonly args?: readonly string[];
  /** The program sees these, the path and nothing else of this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Starts the program in its own place, as `ip netns exec NAME` does; it must become the program. */
  readonly command?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One program of this repository in a process of its own. Disposing kills it, as a test has no time for goodbyes. */
export class RunningProcess implements AsyncDisposable {
  readonly name: string;
  /** Settles when the process is gone and its output is read. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #lineReaders = new Set<(line: string) => void>();
  #log = "";
  #stdout = "";
  #line = "";
  #isGone = false;

  constructor(options: ProgramOptions) {
    this.name = options.name;
    const program = [process.execPath, join(ROOT, options.script), ...(options.args ?? [])];
    const [file = process.execPath, ...args] = [...(options.command ?? []), ...program];
    const env = { PATH: process.env["PATH"] ?? "", ...options.env };
    this.#child = spawn(file, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#onStdout(text));
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#keep(text));
    this.exited = this.#waitForEnd();
    // A test that is ended from outside must not leave programs behind.
    const kill = () => this.kill("SIGKILL");
    process.once("exit", kill);
    void this.exited.then(() => process.off("exit", kill));
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error(`${this.name} did not start.`);
    return pid;
  }

  /** What it wrote so far, its last 256 K characters. */
  get log(): string {
    return this.#log;
  }

  /** Standard output alone, for commands whose output is the result. */
  get stdout(): string {
    return this.#stdout;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Resident memory in bytes (`VmRSS` of proc(5)). */
  rssBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kilobytes === undefined) throw new Error(`${this.name} has no memory: it is gone.`);
    return Number(kilobytes) * 1024;
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#isGone) this.#child.kill(signal);
  }

  /**
   * What `find` makes of the first line of standard output, from now on, that it makes something of.
   *
   * @throws Error with the log when the program ends before, or after `timeoutMs`.
   */
  async findLine<T>(find: (line: string) => T | undefined, timeoutMs = READY_TIMEOUT_MS): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const fail = (why: string) => reject(new Error(`${this.name} ${why}; it wrote:\n${this.#log}`));
    const timer = setTimeout(() => fail(`did not write the expected line within ${timeoutMs} ms`), timeoutMs);
    void this.exited.then(({ code, signal }) => fail(`ended early (${code ?? signal})`));
    const read = (line: string) => {
      const found = find(line);
      if (found !== undefined) resolve(found);
    };
    this.#lineReaders.add(read);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#lineReaders.delete(read);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.exited;
  }

  async #waitForEnd(): Promise<Exit> {
    const [code, signal] = await once(this.#child, "close");
    this.#isGone = true;
    return { code, signal };
  }

  #onStdout(text: string): void {
    this.#keep(text);
    this.#stdout = (this.#stdout + text).slice(-KEPT_LOG);
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) for (const read of this.#lineReaders) read(line);
  }

  #keep(text: string): void {
    this.#log = (this.#log + text).slice(-KEPT_LOG);
  }
}

/** Runs a program to its end. @throws Error with what it wrote, when it fails. */
export async function runProgram(options: ProgramOptions): Promise<string> {
  const program = new RunningProcess(options);
  const { code } = await program.exited;
  if (code !== 0) throw new Error(`${options.name} ended with ${code}:\n${program.log}`);
  return program.stdout;
}
