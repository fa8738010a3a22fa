import { connectTunnel, type LinkState } from "@tokilake/tunnel";

import type { HoldWorkersJob } from "./job.ts";

/** Workers that may be dialing at once. */
const DIALING = 32;

/** Tunnel sessions of workers that have a model and nothing to do, all in this process. */
export class HeldWorkers {
  readonly #failure = Promise.withResolvers<never>();
  /** Never resolves; rejects when a worker is refused for good. */
  readonly failed = this.#failure.promise;
  readonly #job: HoldWorkersJob;
  #dialed = 0;
  readonly #connected = new Set<number>();
  #step = Promise.withResolvers<void>();

  constructor(job: HoldWorkersJob) {
    this.#job = job;
  }

  /** Dials more until `count` are connected. One that loses its session on a busy machine dials again by itself. */
  async grow(count: number): Promise<void> {
    while (this.#connected.size < count) {
      while (this.#dialed < count && this.#dialed - this.#connected.size < DIALING) this.#dial();
      this.#step = Promise.withResolvers<void>();
      await this.#step.promise;
    }
  }

  #dial(): void {
    this.#dialed += 1;
    const number = this.#dialed;
    connectTunnel({
      url: this.#job.url,
      token: this.#job.token,
      workerId: `idle-${number}`,
      software: "tokiame/bench",
      details: () => announcement(number),
      serve: (stream) => stream.reset("refused", { retrySafe: true }),
      onState: (state) => this.#follow(number, state),
    });
  }

  #follow(number: number, state: LinkState): void {
    if (state.is === "connected") this.#connected.add(number);
    else this.#connected.delete(number);
    if (state.is === "stopped") {
      this.#failure.reject(new Error(`Worker ${number} with ${this.#connected.size} connected: ${state.message}`));
    }
    this.#step.resolve();
  }
}

/** What a worker with one engine and one model tells (docs/examples/worker-announcement.json). */
function announcement(number: number): unknown {
  return {
    kind: "models",
    nodeName: `idle-${number}`,
    targets: [{ name: "ollama", engine: "ollama", version: "0.5.1", slots: 4, routes: ["POST /v1/chat/completions"] }],
    models: [{ id: `idle-model-${number % 100}`, target: "ollama", contextLength: 8192, capabilities: ["chat"] }],
    hardware: { os: "linux", arch: "x64", cpuCount: 8, memoryBytes: 17_179_869_184, gpus: [] },
  };
}
