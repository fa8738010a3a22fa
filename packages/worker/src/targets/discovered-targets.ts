import type { Dispatcher } from "undici";

import type { DiscoveryConfig } from "../config.ts";
import { discoverEngines, type FoundEngine } from "../discovery/discover-engines.ts";
import type { ModelMemory } from "../engines/engine.ts";
import { EngineProbe } from "../engines/probe.ts";
import { LIMITS } from "../limits.ts";
import { RELAY_ROUTES } from "./routes.ts";
import { freeName, type TargetSource } from "./target-source.ts";
import { Target } from "./target.ts";

export interface DiscoveryDeps {
  readonly config: DiscoveryConfig;
  /** Which ports to look at, asked at each look. */
  ports(): Promise<readonly number[]>;
  /** For questions to engines; stays the caller's. */
  readonly dispatcher: Dispatcher;
  readonly now: () => number;
}

interface Discovered {
  readonly target: Target;
  readonly engine: FoundEngine;
  misses: number;
}

/** The engines that run on this machine, looked for again at each refresh. */
export class DiscoveredTargets implements TargetSource {
  readonly #deps: DiscoveryDeps;
  readonly #byUrl = new Map<string, Discovered>();
  readonly #targets = new Map<string, Target>();
  readonly #memory: ModelMemory = new Map();
  #notShared: readonly string[] = [];

  constructor(deps: DiscoveryDeps) {
    this.#deps = deps;
  }

  get targets(): ReadonlyMap<string, Target> {
    return this.#targets;
  }

  get notes(): readonly string[] {
    return [...this.#notShared, ...[...this.#targets.values()].flatMap((target) => target.notes)];
  }

  async refresh(): Promise<void> {
    const { config, dispatcher } = this.#deps;
    const found = await discoverEngines(await this.#deps.ports(), dispatcher);
    const isShared = (engine: FoundEngine): boolean =>
      engine.verdict === "publish" || (engine.verdict === "confirm" && config.allowGeneric);
    for (const engine of found.filter(isShared)) this.#keep(engine);
    this.#notShared = found.filter((engine) => !isShared(engine)).map(whyNotShared);
    await Promise.all([...this.#byUrl.values()].map((discovered) => this.#refreshModels(discovered)));
  }

  async refreshLoad(): Promise<void> {
    const all = [...this.#byUrl.values()];
    await Promise.all(all.map(({ target, engine }) => target.refreshLoad(engine.kind, () => this.#probe(engine.url))));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#targets.values()].map((target) => target.close()));
  }

  #keep(engine: FoundEngine): void {
    const known = this.#byUrl.get(engine.url.href);
    if (known?.engine.kind === engine.kind) {
      known.target.found = this.#facts(engine);
      return;
    }
    if (known !== undefined) this.#drop(known);
    const { config, now } = this.#deps;
    const name = freeName(engine.kind.name, (taken) => this.#targets.has(taken));
    const settings = {
      name,
      engine: engine.kind.name,
      baseUrl: engine.url,
      headers: {},
      apiKeys: [],
      routes: RELAY_ROUTES,
      maxBodyBytes: config.maxBodyBytes,
    };
    const target = new Target(settings, now);
    target.found = this.#facts(engine);
    this.#targets.set(name, target);
    this.#byUrl.set(engine.url.href, { target, engine, misses: 0 });
  }

  #facts(engine: FoundEngine): Target["found"] {
    const { version, slots } = engine.recognition;
    const known = engine.kind.name === "ollama" ? (this.#deps.config.ollamaSlots ?? slots) : slots;
    return { ...(version !== undefined && { version }), ...(known !== undefined && { slots: known }) };
  }

  /** A busy engine may miss one look; one that misses two in a row is gone. */
  async #refreshModels(discovered: Discovered): Promise<void> {
    const { target, engine } = discovered;
    const models = await engine.kind.listModels(this.#probe(engine.url), this.#memory);
    if (models !== undefined) {
      discovered.misses = 0;
      target.setModels(models);
    } else if (++discovered.misses >= LIMITS.missesUntilGone) this.#drop(discovered);
  }

  #drop(discovered: Discovered): void {
    this.#byUrl.delete(discovered.engine.url.href);
    this.#targets.delete(discovered.target.name);
    // Its last requests finish by themselves; nobody waits for them here.
    void discovered.target.close().catch(() => undefined);
  }

  #probe(url: URL): EngineProbe {
    const { knownEngineTimeoutMs: timeoutMs, maxKnownEngineBytes: maxBytes } = LIMITS;
    return new EngineProbe(url, { timeoutMs, maxBytes, dispatcher: this.#deps.dispatcher });
  }
}

function whyNotShared({ url, kind, verdict }: FoundEngine): string {
  if (verdict === "needs-key") {
    return `port ${url.port}: a server that asks for an API key; to share it, name it in model_targets with api_keys`;
  }
  return `port ${url.port}: ${kind.title}, not certain which; to share it, confirm with --yes`;
}
