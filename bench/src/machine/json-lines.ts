import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

import type { StartedProgram } from "./started-program.ts";

/** Lines that may wait for `next`: a generator says fewer than ten in its life. */
const MAX_WAITING = 100;

/** Talks with a program in lines of JSON. */
export class JsonLines {
  readonly #program: StartedProgram;
  readonly #child: ChildProcess;
  readonly #waiting: unknown[] = [];
  #wake: () => void = () => {};

  constructor(program: StartedProgram, child: ChildProcess) {
    this.#program = program;
    this.#child = child;
    const { stdin, stdout } = child;
    if (stdin === null || stdout === null) throw new TypeError("The program has no pipes.");
    stdin.on("error", () => {
      // It is gone; `next` tells with what it said.
    });
    createInterface({ input: stdout }).on("line", (line) => {
      if (this.#waiting.length < MAX_WAITING) this.#waiting.push(JSON.parse(line));
      this.#wake();
    });
    void program.ended().then(() => this.#wake());
  }

  send(value: unknown): void {
    this.#child.stdin?.write(`${JSON.stringify(value)}\n`);
  }

  /** The next line. @throws Error with what the program said when it ends instead, or after `timeoutMs`. */
  async next(timeoutMs: number): Promise<unknown> {
    const isLate = AbortSignal.timeout(timeoutMs);
    isLate.addEventListener("abort", () => this.#wake(), { once: true });
    while (this.#waiting.length === 0) {
      const said = `It said: ${this.#program.said()}`;
      if (!this.#program.isRunning) throw new Error(`${this.#program.name} ended without an answer. ${said}`);
      if (isLate.aborted) throw new Error(`${this.#program.name} gave no answer in ${timeoutMs} ms. ${said}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#waiting.shift();
  }
}
