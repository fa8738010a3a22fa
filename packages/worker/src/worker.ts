import { type LinkState, connectTunnel, type TunnelClient, type TunnelLimits, type TunnelLog } from "@tokilake/tunnel";

import type { Config } from "./config.ts";
import { type Connections, HubLink } from "./hub-link.ts";
import { LIMITS } from "./limits.ts";
import { loadAnnouncement, type ModelsAnnouncement, modelsAnnouncement } from "./report/announcement.ts";
import type { Hardware } from "./report/hardware.ts";
import { type Served, ServedNews } from "./report/served.ts";
import { serveStream } from "./serving/serve-stream.ts";
import { targetFor } from "./targets/target-for.ts";
import type { TargetSource } from "./targets/target-source.ts";
import type { Target } from "./targets/target.ts";

/** What the worker takes from the outside world. */
export interface WorkerDeps {
  readonly source: TargetSource;
  readonly hardware: Hardware;
  /** "tokiame/0.1.0" */
  readonly software: string;
  readonly log: TunnelLog;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  onState(state: LinkState, connections: Connections): void;
  /** Models or load changed: what a status shows may be old. */
  onChange(): void;
  /** What the hub serves of this worker is another; undefined: nothing is known, as the link is down. */
  onServed(served: Served | undefined): void;
  readonly limits?: Partial<TunnelLimits>;
}

/** A worker that is on. */
export interface Worker {
  /** Of the connections as a whole. */
  readonly state: LinkState;
  readonly connections: Connections;
  readonly targets: ReadonlyMap<string, Target>;
  announcement(): ModelsAnnouncement;
  /** Looks at the engines now, and tells the hub what changed. */
  refresh(): Promise<void>;
  /** New streams go elsewhere, running ones finish or are reset at the deadline. Then closed. */
  drain(graceMs: number): Promise<void>;
  /** At once: every stream ends, every engine is let go. */
  close(): Promise<void>;
}

/** Dials the hub and serves it from the targets of `deps.source`. The composition root. */
export function startWorker(config: Config, deps: WorkerDeps): Worker {
  const { source, log, now } = deps;
  const facts = { nodeName: config.nodeName, groups: config.groups, hardware: deps.hardware };
  const announce = (): ModelsAnnouncement => modelsAnnouncement(source.targets.values(), facts);
  let reporter: Reporter | undefined;
  const served = new ServedNews((now) => deps.onServed(now));
  const link = new HubLink({
    connections: config.connections,
    connect: (place, onState) => {
      let registered = "";
      const client: TunnelClient = connectTunnel({
        url: config.gatewayUrl.href,
        token: config.token,
        workerId: config.workerId,
        software: deps.software,
        ...place,
        details: () => {
          const announcement = announce();
          registered = JSON.stringify(announcement);
          return announcement;
        },
        serve: (stream) => serveStream(stream, { targetOf: (opening) => targetFor(source.targets, opening), log, now }),
        onState: (state) => {
          if (state.is === "connected") {
            reporter?.forgetLoad();
            // The hub takes what comes last for the truth, so what was told while this one registered follows here.
            if (reporter !== undefined && reporter.lastModels !== registered) client.update(announce());
          }
          onState(state);
        },
        onNotice: (details) => served.hear(details),
        failFast: place.slot === 0,
        allowNoSubprotocol: config.assumesV1,
        limits: { ...linkLimits(config), ...deps.limits },
        log,
      });
      return client;
    },
    onChange: (state, connections) => {
      if (state.is !== "connected") served.forget();
      deps.onState(state, connections);
    },
  });
  reporter = new Reporter(link, announce, deps);
  return runningWorker(link, reporter, { source, announce });
}

function runningWorker(
  link: HubLink,
  reporter: Reporter,
  { source, announce }: { readonly source: TargetSource; readonly announce: () => ModelsAnnouncement },
): Worker {
  return {
    get state() {
      return link.state;
    },
    get connections() {
      return link.connections;
    },
    targets: source.targets,
    announcement: announce,
    refresh: () => reporter.refresh(),
    async drain(graceMs) {
      reporter.stop();
      await link.drain({ graceMs });
      await source.close();
    },
    async close() {
      reporter.stop();
      link.close();
      await source.close();
    },
  };
}

/** Looks at engines and counters in turn and tells the hub what changed, nothing else. */
class Reporter {
  readonly #link: HubLink;
  readonly #announce: () => ModelsAnnouncement;
  readonly #deps: WorkerDeps;
  readonly #timers: readonly NodeJS.Timeout[];
  /** The last announcement, as JSON. */
  lastModels: string;
  #lastLoad = "";
  #isLooking = false;
  #isAsking = false;

  constructor(link: HubLink, announce: () => ModelsAnnouncement, deps: WorkerDeps) {
    this.#link = link;
    this.#announce = announce;
    this.#deps = deps;
    this.lastModels = JSON.stringify(announce());
    const report = (error: unknown): void =>
      deps.log.error({ err: error }, "unexpected failure while looking at engines");
    this.#timers = [
      setInterval(() => void this.refresh().catch(report), LIMITS.refreshMs),
      setInterval(() => void this.#reportLoad().catch(report), LIMITS.loadReportMs),
    ];
  }

  async refresh(): Promise<void> {
    // A look that takes longer than the time between two must not pile up.
    if (this.#isLooking) return;
    this.#isLooking = true;
    await this.#deps.source.refresh().finally(() => (this.#isLooking = false));
    const announcement = this.#announce();
    const models = JSON.stringify(announcement);
    if (models === this.lastModels) return;
    this.lastModels = models;
    this.#link.update(announcement);
    this.#deps.log.info({ models: announcement.models.length }, "models changed, hub told");
    this.#deps.onChange();
  }

  /** A new session of the hub knows nothing of our load. */
  forgetLoad(): void {
    this.#lastLoad = "";
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  async #reportLoad(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    await this.#deps.source.refreshLoad().finally(() => (this.#isAsking = false));
    const load = loadAnnouncement(this.#deps.source.targets.values());
    const text = JSON.stringify(load);
    if (text === this.#lastLoad) return;
    this.#lastLoad = text;
    this.#link.update(load);
    this.#deps.onChange();
  }
}

/** The original's two times, as far as they mean something to this tunnel. */
function linkLimits(config: Config): Partial<TunnelLimits> {
  const { heartbeatMs, reconnectDelayMs } = config;
  return {
    // A longer one would let proxies close the idle connection, and the hub think that we are gone.
    ...(heartbeatMs !== undefined && { pingEveryMs: Math.min(heartbeatMs, 15_000) }),
    ...(reconnectDelayMs !== undefined && { maxRetryMs: Math.max(reconnectDelayMs, 250) }),
  };
}
