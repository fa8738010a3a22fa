import { Pool } from "undici";

import type { EngineKind, ServedModel } from "../engines/engine.ts";
import type { EngineProbe } from "../engines/probe.ts";
import { LIMITS } from "../limits.ts";
import { DecodeSpeed } from "./decode-speed.ts";
import { KeyRing } from "./key-ring.ts";
import { isPublishable } from "./publishable.ts";

/** What an owner, or discovery, says about one engine endpoint. */
export interface TargetSettings {
  /** The name that the hub knows. */
  readonly name: string;
  /** "ollama", "vllm", "openai" …: for people and statistics. */
  readonly engine: string;
  readonly baseUrl: URL;
  /** Put on each request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly apiKeys: readonly string[];
  readonly apiKeyHeader?: string;
  readonly apiKeyPrefix?: string;
  /** "POST /v1/chat/completions" … */
  readonly routes: readonly string[];
  /** Requests at the same time, when the owner set it. */
  readonly maxConcurrent?: number;
  readonly maxBodyBytes: number;
  readonly connectTimeoutMs?: number;
  readonly headTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
}

const DEFAULT_SLOTS = 64;

/** One engine endpoint of this owner, with the requests that run on it. Owns its connections: `close()` ends them. */
export class Target {
  readonly settings: TargetSettings;
  readonly keys: KeyRing;
  readonly speed: DecodeSpeed;
  readonly dispatcher: Pool;
  readonly routes: ReadonlySet<string>;
  /** What the engine itself said when it was last asked. */
  found: { readonly version?: string; readonly slots?: number; readonly waiting?: number } = {};
  #models: ReadonlyMap<string, ServedModel> = new Map();
  #unpublishable = 0;
  #running = 0;
  #hasJustConnected = false;

  constructor(settings: TargetSettings, now: () => number) {
    this.settings = settings;
    this.routes = new Set(settings.routes);
    this.keys = new KeyRing({
      keys: settings.apiKeys,
      ...(settings.apiKeyHeader !== undefined && { header: settings.apiKeyHeader }),
      ...(settings.apiKeyPrefix !== undefined && { prefix: settings.apiKeyPrefix }),
      now,
    });
    this.speed = new DecodeSpeed(now);
    this.dispatcher = new Pool(settings.baseUrl.origin, {
      connect: { timeout: settings.connectTimeoutMs ?? LIMITS.connectTimeoutMs },
      headersTimeout: settings.headTimeoutMs ?? LIMITS.headTimeoutMs,
      bodyTimeout: settings.idleTimeoutMs ?? LIMITS.idleTimeoutMs,
      // Below the 5 s of uvicorn and llama.cpp: a request must not meet a connection that the engine is closing.
      keepAliveTimeout: 2_000,
      pipelining: 1,
    });
    this.dispatcher.on("connect", () => {
      this.#hasJustConnected = true;
      queueMicrotask(() => (this.#hasJustConnected = false));
    });
  }

  /** A connection was made in this very turn: a request that starts now is its first. undici does not tell it otherwise. */
  get hasJustConnected(): boolean {
    return this.#hasJustConnected;
  }

  get name(): string {
    return this.settings.name;
  }

  get running(): number {
    return this.#running;
  }

  /** Requests that may run at once: the owner's word, else the engine's, else a bound that no engine minds. */
  get slots(): number {
    return this.settings.maxConcurrent ?? this.found.slots ?? DEFAULT_SLOTS;
  }

  get models(): ReadonlyMap<string, ServedModel> {
    return this.#models;
  }

  /** Takes the place of those before. A model whose name no hub takes is left out, and counts for `notes`. */
  setModels(models: readonly ServedModel[]): void {
    const publishable = models.filter(({ id }) => isPublishable(id));
    this.#models = new Map(publishable.map((model) => [model.id, model]));
    this.#unpublishable = models.length - publishable.length;
  }

  /** What the owner should know of it. */
  get notes(): readonly string[] {
    if (this.#unpublishable === 0) return [];
    return [
      `target ${this.name}: ${this.#unpublishable} of its models are not published: their names are longer than ` +
        `${LIMITS.maxPublishedNameBytes} bytes, empty, or have characters that do not show or blanks at an end; to share one, name it anew in model_targets`,
    ];
  }

  /** Asks a busy engine how many requests wait in it. Idle ones are left in peace. */
  async refreshLoad(kind: EngineKind | undefined, probe: () => EngineProbe): Promise<void> {
    if (this.#running === 0 || kind?.readLoad === undefined) return;
    const waiting = (await kind.readLoad(probe()))?.waiting;
    const { waiting: _before, ...rest } = this.found;
    this.found = { ...rest, ...(waiting !== undefined && { waiting }) };
  }

  /** Takes one slot. Returns its release, which works once; undefined when all are taken. */
  takeSlot(): (() => void) | undefined {
    if (this.#running >= this.slots) return undefined;
    this.#running++;
    let isHeld = true;
    return () => {
      if (isHeld) this.#running--;
      isHeld = false;
    };
  }

  /** Ends the connections when the running requests are done. May be called again. */
  async close(): Promise<void> {
    if (!this.dispatcher.closed && !this.dispatcher.destroyed) await this.dispatcher.close();
  }
}
