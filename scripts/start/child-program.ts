import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";

/** The repository's root. */
export const ROOT = dirname(dirname(import.meta.dirname));

/** Lines of output kept to say why a program died. */
const KEPT_LINES = 20;
/** A line longer than this is cut: a program that writes without line ends must not fill the memory. */
const MAX_LINE = 4000;

/** What to run. */
export interface ProgramOptions {
  /** For people: "hub". */
  readonly name: string;
  /** From the repository's root. */
  readonly script: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Each line as it comes. */
  onLine?(line: string, from: "stdout" | "stderr"): void;
}

/** A program of this repository in a process of its own. */
export class ChildProgram {
  readonly name: string;
  /** Settles when it is gone, with what it ended with: "exit code 1", "SIGKILL". */
  readonly exited: Promise<string>;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #isGone = false;

  constructor(options: ProgramOptions) {
    this.name = options.name;
    this.#child = spawn(process.execPath, [join(ROOT, options.script), ...options.args], {
      cwd: ROOT,
      env: options.env,
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own: Ctrl-C in a terminal must not end the engine before the hub's last answer.
      detached: process.platform !== "win32",
    });
    this.exited = new Promise((resolve) => {
      this.#child.once("error", (error) => this.#end(resolve, error.message));
      this.#child.once("close", (code, signal) => this.#end(resolve, signal ?? `exit code ${code}`));
    });
    const keep = (from: "stdout" | "stderr") => (line: string) => {
      this.#lines.push(line);
      if (this.#lines.length > KEPT_LINES) this.#lines.shift();
      options.onLine?.(line, from);
    };
    eachLine(this.#child.stdout, keep("stdout"));
    eachLine(this.#child.stderr, keep("stderr"));
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** The last line it wrote that says something; what people are told when it died. */
  get lastWords(): string {
    return this.#lines.findLast((line) => line.trim() !== "" && !/^\s+at /.test(line))?.trim() ?? "it said nothing";
  }

  /** Asks it to end, and resolves when it has; kills it when it has not after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    if (this.#isGone) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), graceMs);
    await this.exited;
    clearTimeout(timer);
  }

  /** Ends it at once. */
  kill(): void {
    if (!this.#isGone) this.#child.kill("SIGKILL");
  }

  #end(resolve: (how: string) => void, how: string): void {
    this.#isGone = true;
    resolve(how);
  }
}

/** Runs a program to its end and gives its standard output. @throws Error with its last words when it fails. */
export async function runToEnd(options: Omit<ProgramOptions, "onLine">): Promise<string> {
  const lines: string[] = [];
  const program = new ChildProgram({ ...options, onLine: (line, from) => from === "stdout" && lines.push(line) });
  const how = await program.exited;
  if (how !== "exit code 0") throw new Error(`${options.name} failed (${how}): ${program.lastWords}`);
  return lines.join("\n");
}

function eachLine(stream: NodeJS.ReadableStream | null, take: (line: string) => void): void {
  let rest = "";
  stream?.setEncoding("utf8");
  stream?.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_LINE);
    for (const line of lines) take(line.slice(0, MAX_LINE));
  });
  stream?.on("end", () => rest === "" || take(rest));
}
