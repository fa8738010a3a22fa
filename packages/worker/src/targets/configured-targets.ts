import type { Dispatcher } from "undici";

import type { ModelTarget } from "../config.ts";
import type { EngineKind, ModelMemory, ServedModel } from "../engines/engine.ts";
import { EngineProbe } from "../engines/probe.ts";
import { recognise } from "../engines/recognise.ts";
import { LIMITS } from "../limits.ts";
import { freeName, type TargetSource } from "./target-source.ts";
import { Target } from "./target.ts";
import { upstreamPath } from "./upstream-url.ts";

interface Configured {
  readonly target: Target;
  readonly models: readonly ServedModel[];
  kind: EngineKind | undefined;
  misses: number;
  wasUp: boolean;
}

/**
 * The owner's `model_targets`. Models with the same endpoint and rules share one target. An engine that does not answer
 * twice in a row has its models withdrawn until it answers again.
 */
export class ConfiguredTargets implements TargetSource {
  readonly targets: ReadonlyMap<string, Target>;
  readonly #all: readonly Configured[];
  readonly #dispatcher: Dispatcher;
  readonly #memory: ModelMemory = new Map();
  #notes: readonly string[] = [];

  /** @param dispatcher For questions to engines; stays the caller's. */
  constructor(entries: readonly ModelTarget[], deps: { dispatcher: Dispatcher; now: () => number }) {
    this.#dispatcher = deps.dispatcher;
    const groups = Map.groupBy(entries, endpointKey);
    const targets = new Map<string, Target>();
    this.#all = [...groups.values()].flatMap((group) => {
      const [first] = group;
      if (first === undefined) return [];
      const name = freeName(targetName(first.backendType), (taken) => targets.has(taken));
      const target = openTarget(name, first, deps.now);
      targets.set(name, target);
      const models = group.map(({ model, mappedName }) => ({ id: model, upstream: mappedName }));
      return [{ target, models, kind: undefined, misses: 0, wasUp: false }];
    });
    this.targets = targets;
  }

  get notes(): readonly string[] {
    return this.#notes;
  }

  async refresh(): Promise<void> {
    const notes = await Promise.all(this.#all.map((configured) => this.#refreshOne(configured)));
    this.#notes = notes.flat();
  }

  async refreshLoad(): Promise<void> {
    await Promise.all(this.#all.map(({ target, kind }) => target.refreshLoad(kind, () => this.#probe(target))));
  }

  async close(): Promise<void> {
    await Promise.all([...this.targets.values()].map((target) => target.close()));
  }

  async #refreshOne(configured: Configured): Promise<string[]> {
    const { target, models } = configured;
    const probe = this.#probe(target);
    const isUp = await answers(probe, target);
    if (!isUp && (!configured.wasUp || ++configured.misses >= LIMITS.missesUntilGone)) {
      target.setModels([]);
      configured.wasUp = false;
      return [`target ${target.name}: the engine does not answer; its models are published when it does`];
    }
    if (!isUp) return [];
    configured.misses = 0;
    configured.wasUp = true;
    // What a stranger's server is asked beyond its model list would be noise in its log: only engines here are known.
    const found = isLoopback(target.settings.baseUrl) ? await this.#look(configured, probe) : undefined;
    target.setModels(models.map((model) => ({ ...found?.get(model.upstream), ...model })));
    return [...target.notes];
  }

  async #look(configured: Configured, probe: EngineProbe): Promise<ReadonlyMap<string, ServedModel> | undefined> {
    const recognised = await recognise(probe);
    if (recognised === undefined) return undefined;
    const { kind, recognition } = recognised;
    configured.kind = kind;
    const { version, slots } = recognition;
    configured.target.found = { ...(version !== undefined && { version }), ...(slots !== undefined && { slots }) };
    const listed = await kind.listModels(probe, this.#memory);
    return listed && new Map(listed.map((model) => [model.upstream, model]));
  }

  #probe(target: Target): EngineProbe {
    const { baseUrl, headers } = target.settings;
    const key = target.keys.next()?.header;
    return new EngineProbe(new URL(baseUrl.origin), {
      timeoutMs: LIMITS.knownEngineTimeoutMs,
      maxBytes: LIMITS.maxKnownEngineBytes,
      headers: { ...headers, ...(key !== undefined && { [key[0]]: key[1] }) },
      dispatcher: this.#dispatcher,
    });
  }
}

/** Any answer means that the server is up; which routes it has is its own affair. */
async function answers(probe: EngineProbe, target: Target): Promise<boolean> {
  return (await probe.get(upstreamPath(target.settings.baseUrl, "/v1/models", ""))) !== undefined;
}

function openTarget(name: string, entry: ModelTarget, now: () => number): Target {
  const { apiKeyHeader, apiKeyPrefix, maxConcurrent } = entry;
  return new Target(
    {
      name,
      engine: entry.backendType,
      baseUrl: entry.url,
      headers: { ...urlCredentials(entry.url), ...entry.headers },
      apiKeys: entry.apiKeys,
      ...(apiKeyHeader !== undefined && { apiKeyHeader }),
      ...(apiKeyPrefix !== undefined && { apiKeyPrefix }),
      routes: entry.routes,
      ...(maxConcurrent !== undefined && { maxConcurrent }),
      maxBodyBytes: entry.maxBodyBytes,
    },
    now,
  );
}

/** A user and password in the URL, as the header that they mean (RFC 7617). */
function urlCredentials({ username, password }: URL): Record<string, string> {
  if (username === "" && password === "") return {};
  const pair = `${unescaped(username)}:${unescaped(password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that escapes nothing stands for itself.
    return text;
  }
}

/** Equal for entries that may share connections, keys, slots and rules. */
function endpointKey(entry: ModelTarget): string {
  const { model: _model, mappedName: _mappedName, ...endpoint } = entry;
  return JSON.stringify(endpoint);
}

/** The backend type in characters that a target's name may have. It never holds an address. */
function targetName(backendType: string): string {
  const name = backendType.toLowerCase().replaceAll(/[^a-z0-9._-]+/g, "-");
  return name.slice(0, 40) || "engine";
}

function isLoopback(url: URL): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
}
