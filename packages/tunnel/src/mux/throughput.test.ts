import assert from "node:assert/strict";
import { test } from "node:test";

import { TunnelError } from "../tunnel-error.ts";
import type { TunnelStream } from "../tunnel-stream.ts";
import type { MuxCarrier } from "./mux-carrier.ts";
import type { Mux } from "./mux.ts";
import { SimulatedPair, World } from "./simulated-world.ts";

const PIECE = Buffer.alloc(256 * 1024);

/** A long, fast line: messages leave one after the other at `bytesPerMs`, and arrive `delayMs` later. */
class LongLine implements MuxCarrier {
  readonly #world: World;
  readonly #bytesPerMs: number;
  readonly #delayMs: number;
  readonly #peer: () => Mux;
  #freeAtMs = 0;

  constructor(world: World, options: { bytesPerMs: number; delayMs: number; peer: () => Mux }) {
    this.#world = world;
    this.#bytesPerMs = options.bytesPerMs;
    this.#delayMs = options.delayMs;
    this.#peer = options.peer;
  }

  send(message: Buffer, onSent: () => void): void {
    const now = this.#world.now();
    this.#freeAtMs = Math.max(this.#freeAtMs, now) + message.length / this.#bytesPerMs;
    this.#world.at(this.#freeAtMs - now, () => {
      const copy = Buffer.from(message);
      onSent();
      this.#world.at(this.#delayMs, () => this.#peer().receive(copy));
    });
  }

  finish(): void {}

  destroy(): void {}
}

async function pour(stream: TunnelStream): Promise<void> {
  stream.respond({ status: 200, headers: [] });
  for (;;) if (!stream.write(PIECE)) await stream.drained();
}

test("one bulk stream uses four fifths of 1 Gbit/s over a round trip of 100 ms once its window has grown", async () => {
  const world = new World(1);
  const line = { bytesPerMs: 125_000, delayMs: 50 };
  const pair: SimulatedPair = new SimulatedPair(world, {
    maxDelayMs: 0,
    worker: { onStream: (stream) => void pour(stream).catch(() => {}) },
    toWorker: new LongLine(world, { ...line, peer: () => pair.worker }),
    toHub: new LongLine(world, { ...line, peer: () => pair.hub }),
  });
  await world.run(500, () => {});
  const stream = pair.hub.open({
    requestId: "r",
    target: "t",
    method: "GET",
    path: "/",
    query: "",
    headers: [],
    priority: "bulk",
  });
  stream.end();
  let bytes = 0;
  void (async () => {
    for await (const chunk of stream.body) bytes += chunk.length;
  })().catch(() => {});

  await world.run(2000, () => {});
  const before = bytes;
  await world.run(1000, () => {});

  const share = (bytes - before) / 125_000_000;
  assert.ok(share >= 0.8, `${(share * 100).toFixed(0)} % of the line`);
  assert.equal(stream.receive.window.sizeBytes, 16 * 1024 * 1024);
  const over = new TunnelError("cancelled");
  pair.hub.close(over, { tells: false });
  pair.worker.close(over, { tells: false });
});
