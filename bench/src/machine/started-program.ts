import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";

/** How long a program may take to end by itself before it is killed. */
const STOP_MS = 10_000;
/** Text at the end of what a program said, for an error message. */
const KEPT_TEXT = 2000;

/** A program that this one started. Its output stands in a file. */
export class StartedProgram implements AsyncDisposable {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #ended: Promise<void>;
  #failure: Error | undefined;

  constructor(name: string, child: ChildProcess, logFile: string) {
    this.name = name;
    this.#child = child;
    this.#logFile = logFile;
    this.#ended = new Promise((resolve) => {
      child.once("close", () => resolve());
      child.once("error", (error) => {
        this.#failure = error;
        resolve();
      });
    });
  }

  /** @throws Error when it could not be started. */
  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} did not start.`, { cause: this.#failure });
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The end of what it wrote. */
  said(): string {
    return this.#failure?.message ?? readFileSync(this.#logFile, "utf8").slice(-KEPT_TEXT).trim();
  }

  /** Resolves when it has ended, with its exit code, or `undefined` when a signal or a failed start ended it. */
  async ended(): Promise<number | undefined> {
    await this.#ended;
    return this.#child.exitCode ?? undefined;
  }

  /** Sends a signal to it alone. */
  signal(name: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(name);
  }

  /** Asks it to end and kills it after 10 s. */
  async stop(): Promise<void> {
    this.signal("SIGTERM");
    const kill = setTimeout(() => this.signal("SIGKILL"), STOP_MS);
    await this.#ended;
    clearTimeout(kill);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
