import assert from "node:assert/strict";
import { test } from "node:test";

import { LineSink } from "./line-sink.ts";

const LINE = `${"x".repeat(1023)}\n`;

test("lines arrive in their order, those that came meanwhile together", () => {
  const system = new System();
  const sink = new LineSink(1, system.write);

  for (const line of ["a\n", "b\n", "c\n"]) sink.write(line);
  system.takeAll();

  assert.deepEqual(system.taken, ["a\n", "b\nc\n"]);
});

test("what the system took only a part of is written on from there", () => {
  const system = new System();
  const sink = new LineSink(1, system.write);

  sink.write("hello\n");
  system.take(2);
  system.takeAll();

  assert.deepEqual(system.taken, ["he", "llo\n"]);
});

test("a full pipe is tried again", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const system = new System();
  const sink = new LineSink(1, system.write);

  sink.write("a\n");
  system.refuse("EAGAIN");
  context.mock.timers.tick(20);
  system.takeAll();

  assert.deepEqual(system.taken, ["a\n"]);
});

test("while nobody reads, lines beyond 8 MiB are lost, and their number is told afterwards", () => {
  const system = new System();
  const sink = new LineSink(1, system.write);

  // The first is on its way, 8,192 wait, two are too many.
  for (let i = 0; i < 1 + 8192 + 2; i += 1) sink.write(LINE);
  assert.equal(sink.lost, 2);
  system.takeAll();

  const text = system.taken.join("");
  assert.ok(text.startsWith(LINE.repeat(8193)));
  const last = JSON.parse(text.slice(8193 * 1024)) as Record<string, unknown>;
  assert.deepEqual([last["lines"], last["message"]], [2, "log lines are lost"]);
});

test("when the reader has gone nothing is kept for it", async () => {
  const system = new System();
  const sink = new LineSink(1, system.write);

  sink.write("a\n");
  sink.write("b\n");
  system.refuse("EPIPE");
  sink.write("c\n");

  assert.equal(system.isWaiting, false);
  await sink[Symbol.asyncDispose]();
});

test("disposing waits for what is on its way, and not for ever", async (context) => {
  const system = new System();
  const sink = new LineSink(1, system.write);
  sink.write("a\n");
  const written = sink[Symbol.asyncDispose]();
  system.takeAll();
  await written;

  context.mock.timers.enable({ apis: ["setTimeout"] });
  sink.write("b\n");
  const givenUp = sink[Symbol.asyncDispose]();
  context.mock.timers.tick(1000);
  await givenUp;

  assert.deepEqual(system.taken, ["a\n"]);
});

/** A file descriptor that takes bytes when it is told to. */
class System {
  readonly taken: string[] = [];
  #pending: { bytes: Uint8Array; done: (error: NodeJS.ErrnoException | null, written: number) => void } | undefined;

  get isWaiting(): boolean {
    return this.#pending !== undefined;
  }

  readonly write: ConstructorParameters<typeof LineSink>[1] = (_fd, bytes, done) => {
    assert.equal(this.#pending, undefined, "one write at a time");
    this.#pending = { bytes, done };
  };

  take(count: number): void {
    const pending = this.#pending;
    this.#pending = undefined;
    assert.ok(pending);
    const taken = pending.bytes.subarray(0, count);
    this.taken.push(Buffer.from(taken).toString());
    pending.done(null, taken.length);
  }

  takeAll(): void {
    while (this.#pending !== undefined) this.take(Infinity);
  }

  refuse(code: string): void {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.done(Object.assign(new Error(code), { code }), 0);
  }
}
