import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { JsonLines } from "./json-lines.ts";
import { StartedProgram } from "./started-program.ts";

/** A program to start. */
export interface ProgramOptions {
  /** For messages and file names: "nginx". */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The only core it may use, helper threads included. Without `taskset` it is not pinned. */
  readonly core?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** All programs of one run, and a folder for what they write. Disposing ends them and removes the folder. */
export class ProcessGroup implements AsyncDisposable {
  /** Of this run alone. */
  readonly folder = mkdtempSync(join(tmpdir(), "tokilake-bench-"));
  readonly #programs = new Set<StartedProgram>();
  #pins: boolean;
  #started = 0;
  #isClosing = false;

  constructor(options: { readonly canPin: boolean }) {
    this.#pins = options.canPin;
  }

  /** Process ids of those that run now. */
  get pids(): readonly number[] {
    return [...this.#programs].filter((program) => program.isRunning).map((program) => program.pid);
  }

  /** Programs that are started meanwhile may use every core. */
  async withoutPinning(task: () => Promise<void>): Promise<void> {
    const pinned = this.#pins;
    this.#pins = false;
    await task();
    this.#pins = pinned;
  }

  /** Starts a server. What it says goes to a file, as on an operator's machine. */
  start(options: ProgramOptions): StartedProgram {
    const { logFile, file } = this.#openLog(options.name);
    const child = this.#spawn(options, ["ignore", file, file]);
    closeSync(file);
    return this.#keep(options.name, child, logFile);
  }

  /** Starts a program that is asked and answers in lines of JSON on its standard input and output. */
  startAsked(options: ProgramOptions): { readonly program: StartedProgram; readonly lines: JsonLines } {
    const { logFile, file } = this.#openLog(options.name);
    const child = this.#spawn(options, ["pipe", "pipe", file]);
    closeSync(file);
    const program = this.#keep(options.name, child, logFile);
    return { program, lines: new JsonLines(program, child) };
  }

  /** Runs a program to its end and returns its standard output. @throws Error with what it said when it fails. */
  async run(options: ProgramOptions): Promise<string> {
    const output = join(this.folder, `${options.name}-output-${this.#started}`);
    const { logFile, file } = this.#openLog(options.name);
    const outputFile = openSync(output, "w");
    const child = this.#spawn(options, ["ignore", outputFile, file]);
    closeSync(file);
    closeSync(outputFile);
    const program = this.#keep(options.name, child, logFile);
    const code = await program.ended();
    if (code !== 0) throw new Error(`${options.name} failed (exit code ${code}): ${program.said()}`);
    return readFileSync(output, "utf8");
  }

  /** Kills what still runs, at once. For a second Ctrl-C. */
  kill(): void {
    for (const program of this.#programs) program.signal("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#programs].map((program) => program.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  #openLog(name: string): { logFile: string; file: number } {
    this.#started += 1;
    const logFile = join(this.folder, `${name}-${this.#started}.log`);
    return { logFile, file: openSync(logFile, "w") };
  }

  #spawn(options: ProgramOptions, stdio: ("ignore" | "pipe" | number)[]): ChildProcess {
    if (this.#isClosing) throw new Error("The run is over.");
    const isPinned = this.#pins && options.core !== undefined;
    // taskset replaces itself by the program, so the process id is the program's own.
    const command = isPinned ? "taskset" : options.command;
    const args = isPinned ? ["-c", String(options.core), options.command, ...options.args] : options.args;
    return spawn(command, args, {
      stdio,
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
  }

  #keep(name: string, child: ChildProcess, logFile: string): StartedProgram {
    const program = new StartedProgram(name, child, logFile);
    this.#programs.add(program);
    void program.ended().then(() => this.#programs.delete(program));
    return program;
  }
}
