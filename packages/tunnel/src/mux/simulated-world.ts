import { TUNNEL_LIMITS, type TunnelLimits } from "../limits.ts";
import { TunnelError } from "../tunnel-error.ts";
import { FrameCursor, FRAME } from "../wire/frame.ts";
import { MemoryPool } from "./memory-pool.ts";
import type { MuxCarrier, MuxEnvironment, MuxEvents } from "./mux-carrier.ts";
import { Mux } from "./mux.ts";
import { SlabAllocator } from "./slab.ts";

// Test support: a network of two ends with a virtual clock and seeded chance. Not part of the package's surface.

/** A small seeded generator (mulberry32): the same seed, the same world. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Appointment {
  readonly atMs: number;
  readonly order: number;
  readonly task: () => void;
}

/** A virtual clock and its appointments. */
export class World implements MuxEnvironment {
  readonly random: () => number;
  #nowMs = 1000;
  #order = 0;
  /** A binary heap: the earliest is first. */
  readonly #heap: Appointment[] = [];

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  now(): number {
    return this.#nowMs;
  }

  schedule(task: () => void): void {
    this.at(0, task);
  }

  /** From `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low + 1));
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.at(ms, resolve);
    });
  }

  at(delayMs: number, task: () => void): void {
    this.#order += 1;
    this.#heap.push({ atMs: this.#nowMs + delayMs, order: this.#order, task });
    this.#rise(this.#heap.length - 1);
  }

  /** Runs all that happens in the next `ms`, with `check` after each step. */
  async run(ms: number, check: () => void): Promise<void> {
    const until = this.#nowMs + ms;
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= until; next = this.#heap[0]) {
      this.#removeFirst();
      this.#nowMs = next.atMs;
      next.task();
      await endOfTurn();
      check();
    }
    this.#nowMs = until;
  }

  #rise(start: number): void {
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #removeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    let at = 0;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#heap.length && this.#isBefore(child, least)) least = child;
      }
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const left = this.#heap[a];
    const right = this.#heap[b];
    if (left === undefined || right === undefined) return false;
    return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
  }

  #swap(a: number, b: number): void {
    const left = this.#heap[a];
    const right = this.#heap[b];
    if (left === undefined || right === undefined) return;
    this.#heap[a] = right;
    this.#heap[b] = left;
  }
}

/** All promises that can settle have settled. */
function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/**
 * One direction of a link. Messages arrive whole and in order, late, in fits and starts, or no more at all. Their memory
 * is read only when `onSent` is called, so that memory which is written again too early shows as wrong bytes.
 */
export class SimulatedCarrier implements MuxCarrier {
  readonly #world: World;
  readonly #onArrival: (message: Buffer) => void;
  readonly #onFinish: () => void;
  /** All messages that arrived, for checks. */
  onMessage: (message: Buffer) => void = () => {};
  unsentBytes = 0;
  isCut = false;
  /** Nothing leaves before this time. */
  stalledUntilMs = 0;
  maxDelayMs: number;
  #lastSentMs = 0;
  #lastArrivalMs = 0;

  constructor(
    world: World,
    options: { maxDelayMs: number; onArrival: (message: Buffer) => void; onFinish: () => void },
  ) {
    this.#world = world;
    this.maxDelayMs = options.maxDelayMs;
    this.#onArrival = options.onArrival;
    this.#onFinish = options.onFinish;
  }

  send(message: Buffer, onSent: () => void): void {
    const now = this.#world.now();
    this.unsentBytes += message.length;
    this.#lastSentMs = Math.max(this.#lastSentMs, now, this.stalledUntilMs) + this.#world.random() * 2;
    this.#world.at(this.#lastSentMs - now, () => this.#leave(message, onSent));
  }

  finish(): void {
    this.#arrive(this.#onFinish);
  }

  destroy(): void {
    this.#arrive(this.#onFinish);
  }

  #leave(message: Buffer, onSent: () => void): void {
    // A dead connection takes no more bytes.
    if (this.isCut) return;
    this.unsentBytes -= message.length;
    const copy = Buffer.from(message);
    this.onMessage(copy);
    this.#arrive(() => this.#onArrival(copy));
    onSent();
  }

  #arrive(task: () => void): void {
    const now = this.#world.now();
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, this.#lastSentMs, now) + this.#world.random() * this.maxDelayMs;
    this.#world.at(this.#lastArrivalMs - now, () => {
      if (!this.isCut) task();
    });
  }
}

/** A hub's mux and a worker's, with a link between them. */
export class SimulatedPair {
  readonly world: World;
  readonly hub: Mux;
  readonly worker: Mux;
  readonly toWorker: SimulatedCarrier;
  readonly toHub: SimulatedCarrier;
  readonly hubPool: MemoryPool;
  readonly workerPool: MemoryPool;

  constructor(
    world: World,
    options: {
      maxDelayMs: number;
      limits?: Partial<TunnelLimits>;
      hub?: Partial<MuxEvents>;
      worker?: Partial<MuxEvents>;
      /** Other lines than the simulated ones. */
      toWorker?: MuxCarrier;
      toHub?: MuxCarrier;
    },
  ) {
    this.world = world;
    const limits: TunnelLimits = { ...TUNNEL_LIMITS, ...options.limits };
    this.hubPool = new MemoryPool(limits.poolBytes);
    this.workerPool = new MemoryPool(limits.poolBytes);
    const { maxDelayMs } = options;
    const lost = new TunnelError("worker-lost", { isLocal: false });
    this.toWorker = new SimulatedCarrier(world, {
      maxDelayMs,
      onArrival: (message) => this.worker.receive(message),
      onFinish: () => this.worker.close(lost, { tells: false }),
    });
    this.toHub = new SimulatedCarrier(world, {
      maxDelayMs,
      onArrival: (message) => this.hub.receive(message),
      onFinish: () => this.hub.close(lost, { tells: false }),
    });
    const shared = { limits, environment: world };
    this.hub = new Mux({
      ...shared,
      role: "hub",
      pool: this.hubPool,
      slabs: new SlabAllocator(),
      carrier: options.toWorker ?? this.toWorker,
      events: { ...NO_EVENTS, ...options.hub },
    });
    this.worker = new Mux({
      ...shared,
      role: "worker",
      pool: this.workerPool,
      slabs: new SlabAllocator(),
      carrier: options.toHub ?? this.toHub,
      events: { ...NO_EVENTS, ...options.worker },
    });
    this.hub.start("simulated/1");
    this.worker.start("simulated/1");
    this.#tick();
  }

  /** Both directions die without a word. */
  cut(): void {
    this.toHub.isCut = true;
    this.toWorker.isCut = true;
  }

  #tick(): void {
    this.world.at(1000, () => {
      this.hub.tick();
      this.worker.tick();
      if (this.hub.ended === undefined || this.worker.ended === undefined) this.#tick();
    });
  }
}

const NO_EVENTS: MuxEvents = {
  onHello: () => {},
  onStream: () => {},
  onControl: () => {},
  onGoaway: () => {},
  onIdle: () => {},
  onEnd: () => {},
};

/** Reads sent messages as an outsider and throws when a rule of the wire is broken. One for each direction. */
export class WireWatcher {
  readonly #cursor = new FrameCursor();
  readonly #sent = new Map<number, number>();
  readonly #granted = new Map<number, number>();
  readonly #initialWindow: number;
  readonly counts = new Map<number, number>();

  constructor(initialWindow: number) {
    this.#initialWindow = initialWindow;
  }

  /** The receiver's CREDIT for this direction left at its end. */
  noteCredits(message: Buffer): void {
    this.#cursor.open(message);
    while (this.#cursor.next()) {
      if (this.#cursor.type !== FRAME.credit) continue;
      const { streamId } = this.#cursor;
      this.#granted.set(streamId, Math.max(this.#granted.get(streamId) ?? 0, this.#cursor.uint64()));
    }
  }

  check(message: Buffer): void {
    let hasContent = false;
    this.#cursor.open(message);
    while (this.#cursor.next()) {
      const { type, streamId, length } = this.#cursor;
      this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
      const isUrgent = type === FRAME.ping || type === FRAME.reset || type === FRAME.credit || type === FRAME.goaway;
      if (isUrgent && hasContent) throw new Error(`control frame ${type} behind data`);
      if (!isUrgent && type !== FRAME.hello && type !== FRAME.stop) hasContent = true;
      if (type === FRAME.data) this.#countData(streamId, length);
    }
  }

  #countData(streamId: number, length: number): void {
    const sent = (this.#sent.get(streamId) ?? 0) + length;
    this.#sent.set(streamId, sent);
    const granted = Math.max(this.#granted.get(streamId) ?? 0, this.#initialWindow);
    if (sent > granted) throw new Error(`stream ${streamId} sent ${sent} of ${granted}`);
  }
}
