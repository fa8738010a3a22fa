import assert from "node:assert/strict";
import { test } from "node:test";

import type { TunnelLimits } from "../limits.ts";
import { TunnelError } from "../tunnel-error.ts";
import type { TunnelStream } from "../tunnel-stream.ts";
import { FRAME } from "../wire/frame.ts";
import type { Mux } from "./mux.ts";
import { SimulatedPair, WireWatcher, World } from "./simulated-world.ts";

const SEEDS = Number(process.env["TUNNEL_SIMULATION_SEEDS"] ?? 60);
const FIRST_SEED = Number(process.env["TUNNEL_SIMULATION_FIRST_SEED"] ?? 1);
const MAX_WINDOW = 1024 * 1024;
const LIMITS: Partial<TunnelLimits> = {
  initialWindowBytes: 64 * 1024,
  maxWindowBytes: MAX_WINDOW,
  poolBytes: 4 * MAX_WINDOW,
  maxStreams: 24,
};

/** What both ends do on one stream. */
interface Plan {
  readonly key: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly isBulk: boolean;
  readonly hasTrailers: boolean;
  readonly hubResetsAfterMs: number | undefined;
  readonly workerResetsAfterMs: number | undefined;
  readonly hubLeavesAt: number | undefined;
  readonly workerStopsAt: number | undefined;
  readonly slowReadMs: number;
  /** Grow the windows: readers that read at once. */
  readonly maxWrite: number;
}

function makePlan(world: World, key: number): Plan {
  const bytes = (): number => (world.chance(0.3) ? world.whole(0, 400_000) : world.whole(0, 3000));
  const rarely = (value: () => number): number | undefined => (world.chance(0.12) ? value() : undefined);
  return {
    key,
    requestBytes: bytes(),
    responseBytes: bytes(),
    isBulk: world.chance(0.3),
    hasTrailers: world.chance(0.5),
    hubResetsAfterMs: rarely(() => world.random() * 200),
    workerResetsAfterMs: rarely(() => world.random() * 200),
    hubLeavesAt: rarely(() => world.whole(0, 20_000)),
    workerStopsAt: rarely(() => world.whole(0, 20_000)),
    slowReadMs: world.chance(0.2) ? world.random() * 40 : 0,
    maxWrite: world.chance(0.5) ? 200 : 40_000,
  };
}

/** Bytes that repeat after 64 KiB only, twice, so that every piece of a body is a view into them. */
const PATTERN = Buffer.from(Array.from({ length: 131_072 }, (_, at) => (at * 7 + ((at & 0xffff) >> 8) * 13) & 0xff));

/** What the body of `key` holds at `offset`. At most 64 KiB. */
function bytesAt(key: number, offset: number, length: number): Buffer {
  const start = (offset + key * 977) & 0xffff;
  return PATTERN.subarray(start, start + length);
}

async function writeAll(world: World, stream: TunnelStream, key: number, plan: { total: number; maxWrite: number }) {
  let offset = 0;
  while (offset < plan.total && !stream.isStopped && !stream.signal.aborted) {
    const length = Math.min(plan.total - offset, world.whole(1, plan.maxWrite));
    const hasRoom = stream.write(bytesAt(key, offset, length));
    offset += length;
    if (!hasRoom) await stream.drained();
    else if (world.chance(0.1)) await world.sleep(world.random() * 3);
  }
}

/** Reads and compares. Returns how many bytes came before the clean end, or before `leaveAt`. */
async function readAll(world: World, stream: TunnelStream, key: number, plan: { slowMs: number; leaveAt?: number }) {
  let offset = 0;
  for await (const chunk of stream.body) {
    if (!bytesAt(key, offset, chunk.length).equals(chunk)) throw new Error(`wrong bytes in stream ${stream.id}`);
    offset += chunk.length;
    if (plan.leaveAt !== undefined && offset >= plan.leaveAt) return offset;
    if (plan.slowMs > 0) await world.sleep(world.random() * plan.slowMs);
  }
  return offset;
}

type Outcome = "complete" | "left" | "stopped" | TunnelError;

/** One run: many streams, faults from the seed, all rules watched after each step. */
class Run {
  readonly world: World;
  readonly pair: SimulatedPair;
  readonly plans = new Map<string, Plan>();
  readonly hubOutcomes = new Map<string, Outcome>();
  readonly workerOutcomes = new Map<string, Outcome>();
  readonly up: WireWatcher;
  readonly down: WireWatcher;
  problem: unknown;
  servedStreams = 0;

  constructor(seed: number) {
    this.world = new World(seed);
    const maxDelayMs = this.world.chance(0.5) ? 3 : 60;
    this.pair = new SimulatedPair(this.world, {
      maxDelayMs,
      limits: LIMITS,
      worker: { onStream: (stream) => void this.#serve(stream).catch((error: unknown) => this.#report(error)) },
    });
    this.down = new WireWatcher(64 * 1024);
    this.up = new WireWatcher(64 * 1024);
    this.pair.toWorker.onMessage = (message) => {
      this.down.check(message);
      this.up.noteCredits(message);
    };
    this.pair.toHub.onMessage = (message) => {
      this.up.check(message);
      this.down.noteCredits(message);
    };
  }

  open(key: number): void {
    const plan = makePlan(this.world, key);
    const requestId = `r${key}`;
    let stream: TunnelStream;
    try {
      stream = this.pair.hub.open({
        requestId,
        target: "t",
        method: "POST",
        path: "/x",
        query: "",
        headers: [],
        priority: plan.isBulk ? "bulk" : "interactive",
      });
    } catch (error) {
      assert.ok(error instanceof TunnelError && error.code === "refused" && error.retrySafe);
      return;
    }
    this.plans.set(requestId, plan);
    void this.#ask(stream, plan).catch((error: unknown) => this.#report(error));
  }

  /** Rules that hold at any moment. */
  check(): void {
    if (this.problem !== undefined) throw new Error("an end found a wrong thing", { cause: this.problem });
    for (const mux of [this.pair.hub, this.pair.worker]) checkMemory(mux);
    for (const carrier of [this.pair.toHub, this.pair.toWorker]) {
      assert.ok(carrier.unsentBytes <= 128 * 1024 + 65_543, "too much in the carrier");
    }
    assert.ok(this.pair.hubPool.usedBytes >= 0 && this.pair.hubPool.usedBytes <= 4 * MAX_WINDOW);
  }

  async #ask(stream: TunnelStream, plan: Plan): Promise<void> {
    const { requestId } = stream.opening;
    let outcome: Outcome = "complete";
    if (plan.hubResetsAfterMs !== undefined) this.world.at(plan.hubResetsAfterMs, () => stream.reset("cancelled"));
    const writing = writeAll(this.world, stream, plan.key, { total: plan.requestBytes, maxWrite: plan.maxWrite }).then(
      () => stream.end(),
    );
    // It is awaited below; until then a failure of it is nobody's.
    writing.catch(() => {});
    try {
      await stream.head;
      const leave = plan.hubLeavesAt === undefined ? {} : { leaveAt: plan.hubLeavesAt };
      const bytes = await readAll(this.world, stream, plan.key + 1, { slowMs: plan.slowReadMs, ...leave });
      if (plan.hubLeavesAt !== undefined && bytes >= plan.hubLeavesAt) outcome = "left";
      else assert.equal(bytes, plan.responseBytes, "an answer that was cut looked complete");
      if (outcome === "complete") {
        assert.deepEqual(stream.trailers, plan.hasTrailers ? { key: plan.key } : undefined);
      }
      await writing;
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      await writing.catch(() => {});
      outcome = error;
    }
    assert.ok(!this.hubOutcomes.has(requestId), "a stream ended twice");
    this.hubOutcomes.set(requestId, outcome);
  }

  async #serve(stream: TunnelStream): Promise<void> {
    this.servedStreams += 1;
    const { requestId } = stream.opening;
    const plan = this.plans.get(requestId);
    assert.ok(plan !== undefined && !this.workerOutcomes.has(requestId), "a stream came twice");
    let outcome: Outcome = "complete";
    if (plan.workerResetsAfterMs !== undefined) this.world.at(plan.workerResetsAfterMs, () => stream.reset("internal"));
    try {
      const stopAt = plan.workerStopsAt;
      const reading = readAll(
        this.world,
        stream,
        plan.key,
        stopAt === undefined ? { slowMs: plan.slowReadMs } : { slowMs: plan.slowReadMs, leaveAt: stopAt },
      );
      reading.catch(() => {});
      if (this.world.chance(0.5)) await reading;
      stream.respond({ status: 200, headers: [] });
      await writeAll(this.world, stream, plan.key + 1, { total: plan.responseBytes, maxWrite: plan.maxWrite });
      stream.end(plan.hasTrailers ? { key: plan.key } : undefined);
      const bytes = await reading;
      if (stopAt !== undefined && bytes >= stopAt) outcome = "stopped";
      else assert.equal(bytes, plan.requestBytes, "a request that was cut looked complete");
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      outcome = error;
    }
    this.workerOutcomes.set(requestId, outcome);
  }

  #report(error: unknown): void {
    this.problem ??= error;
  }
}

function checkMemory(mux: Mux): void {
  for (const stream of mux.streams.values()) {
    const { window, queuedBytes, heldBytes } = stream.receive;
    assert.ok(queuedBytes <= window.sizeBytes, "more queued than the window");
    // A queued view holds at most four times its own bytes, a gathering buffer 16 KiB more.
    assert.ok(heldBytes <= 4 * window.sizeBytes + 16 * 1024, "queued bytes hold too much memory");
    assert.ok(window.sizeBytes <= MAX_WINDOW);
  }
}

async function simulate(seed: number): Promise<Run> {
  const run = new Run(seed);
  const { world, pair } = run;
  const check = (): void => run.check();
  await world.run(300, check);
  const fault = world.whole(0, 5);
  for (let key = 1; key <= 30; key++) {
    run.open(key * 2);
    if (world.chance(0.2)) await world.run(world.random() * 30, check);
    if (fault === 1 && world.chance(0.05)) pair.toHub.stalledUntilMs = world.now() + 3000;
    if (fault === 2 && world.chance(0.05)) pair.toWorker.stalledUntilMs = world.now() + 3000;
  }
  if (fault === 3) world.at(world.random() * 300, () => pair.cut());
  if (fault === 4) {
    const goaway = { code: "shutdown" as const, graceMs: 1000, reconnectAfterMs: 0, message: "" };
    world.at(world.random() * 100, () => pair.worker.goaway(goaway));
  }
  // The time after the faults: everything must end.
  await world.run(150_000, check);
  return run;
}

/** Rules that hold when all is over. */
function checkEnd(run: Run, name: string): void {
  const { pair } = run;
  assert.equal(run.hubOutcomes.size, run.plans.size, `${name}: a stream never ended at the hub`);
  assert.equal(run.workerOutcomes.size, run.servedStreams, `${name}: a stream never ended at the worker`);
  assert.equal(pair.hub.streams.size + pair.worker.streams.size, 0, `${name}: streams are left`);
  assert.equal(pair.hubPool.usedBytes + pair.workerPool.usedBytes, 0, `${name}: window memory is left`);
  for (const mux of [pair.hub, pair.worker]) {
    assert.ok(mux.ended === undefined || mux.ended.code === "worker-lost", `${name}: ${mux.ended?.message}`);
  }
  for (const outcome of [...run.hubOutcomes.values(), ...run.workerOutcomes.values()]) {
    const code = outcome instanceof TunnelError ? outcome.code : "cancelled";
    assert.ok(["cancelled", "internal", "worker-lost", "refused"].includes(code), `${name}: ended with ${code}`);
  }
}

test(`${SEEDS} seeded worlds keep the rules: no byte lost, doubled or out of order, no credit overrun, bounded memory`, async () => {
  let complete = 0;
  let failed = 0;
  const frames = new Map<number, number>();
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const run = await simulate(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });

    checkEnd(run, `seed ${seed}`);
    const outcomes = [...run.hubOutcomes.values(), ...run.workerOutcomes.values()];
    failed += outcomes.filter((outcome) => outcome instanceof TunnelError).length;
    complete += outcomes.filter((outcome) => !(outcome instanceof TunnelError)).length;
    for (const watcher of [run.up, run.down]) {
      for (const [type, count] of watcher.counts) frames.set(type, (frames.get(type) ?? 0) + count);
    }
  }

  // The worlds did meet what they are made for.
  assert.ok(complete > failed && failed > SEEDS, `${complete} complete, ${failed} failed`);
  for (const [name, type] of Object.entries(FRAME)) {
    if (name !== "control") assert.ok((frames.get(type) ?? 0) > 0, `no ${name} frame was seen`);
  }
});
