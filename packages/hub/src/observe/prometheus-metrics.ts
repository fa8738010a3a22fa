import { monitorEventLoopDelay } from "node:perf_hooks";

import { Counter, Gauge, Histogram, Registry } from "prom-client";

import { type HistogramFamily, type HistogramTally, histogramText } from "./histogram-tally.ts";
import { LabelLimit } from "./label-limit.ts";
import { COUNTERS, GAUGES, type CounterName, type GaugeName, type Metrics, type MetricSources } from "./metrics.ts";
import type { RequestRecord } from "./request-log.ts";
import { FIRST_BYTE_BUCKETS, REQUEST_BUCKETS, RequestTally } from "./request-tally.ts";

/** Different values of a label of codes; more become `other`. */
const MAX_CODES = 100;

const REQUEST_SECONDS: HistogramFamily = {
  name: "tokilake_request_seconds",
  help: "Whole requests.",
  label: "route",
  buckets: REQUEST_BUCKETS,
};
const FIRST_BYTE_SECONDS: HistogramFamily = {
  name: "tokilake_first_byte_seconds",
  help: "Until the first byte for the client.",
  label: "model",
  buckets: FIRST_BYTE_BUCKETS,
};

/** Metrics in a registry of their own, so that two hubs in one process (tests) do not meet. */
export class PrometheusMetrics implements Metrics, Disposable {
  readonly #registry = new Registry();
  readonly #requests = new RequestTally();
  readonly #codes = new LabelLimit(MAX_CODES);
  readonly #loopDelay = monitorEventLoopDelay({ resolution: 10 });

  readonly #failedAttempts = this.#counter("tokilake_attempts_failed_total", "Attempts at a channel that failed.", [
    "code",
  ]);
  readonly #connects = this.#counter("tunnel_connects_total", "Workers that asked to connect.", ["result"]);
  readonly #disconnects = this.#counter("tunnel_disconnects_total", "Sessions that ended.", ["reason"]);
  readonly #sessionSeconds = this.#histogram(
    {
      name: "tunnel_session_seconds",
      help: "How long sessions were open.",
      buckets: [1, 10, 60, 600, 3600, 21_600, 86_400],
    },
    [],
  );

  /** @param version The program's, shown in `tokilake_build_info`. */
  constructor(version: string) {
    this.#loopDelay.enable();
    this.#requestCounters();
    this.#runtimeGauges(version);
  }

  requestFinished(record: RequestRecord): void {
    this.#requests.add(record);
  }

  attemptFailed(code: string): void {
    this.#failedAttempts.labels(this.#codes.value(code)).inc();
  }

  tunnelConnect(result: string): void {
    this.#connects.labels(this.#codes.value(result)).inc();
  }

  tunnelDisconnect(reason: string, heldMs: number): void {
    this.#disconnects.labels(this.#codes.value(reason)).inc();
    this.#sessionSeconds.observe(heldMs / 1000);
  }

  read(sources: MetricSources): void {
    for (const [name, help] of Object.entries(GAUGES)) {
      const source = sources[name as GaugeName];
      if (source !== undefined) this.#gauge(name, help, source);
    }
    for (const [name, help] of Object.entries(COUNTERS)) {
      const source = sources[name as CounterName];
      if (source !== undefined) this.#readCounter(name, help, source);
    }
  }

  async render(): Promise<{ readonly contentType: string; readonly text: string }> {
    const { routes, models } = this.#requests;
    const text = [
      await this.#registry.metrics(),
      histogramText(
        REQUEST_SECONDS,
        seriesOf(routes, (route) => route.seconds),
      ),
      histogramText(
        FIRST_BYTE_SECONDS,
        seriesOf(models, (model) => model.firstByte),
      ),
    ].join("\n");
    // The delay is that since the last scrape.
    this.#loopDelay.reset();
    return { contentType: this.#registry.contentType, text };
  }

  [Symbol.dispose](): void {
    this.#loopDelay.disable();
    this.#registry.clear();
  }

  /** Filled at each scrape from what was counted. */
  #requestCounters(): void {
    const { routes, models } = this.#requests;
    this.#collected("tokilake_requests_total", "Finished requests.", ["route", "outcome", "status"], (add) => {
      for (const [route, { results }] of routes)
        for (const [outcome, byStatus] of results)
          for (const [status, count] of byStatus) add({ route, outcome, status }, count);
    });
    this.#collected("tokilake_model_requests_total", "Finished requests by model.", ["model", "outcome"], (add) => {
      for (const [model, { outcomes }] of models)
        for (const [outcome, count] of outcomes) add({ model, outcome }, count);
    });
    this.#collected("tokilake_tokens_total", "Tokens, as the engines counted them.", ["model", "kind"], (add) => {
      for (const [model, { tokens }] of models)
        for (const [kind, count] of Object.entries(tokens)) if (count > 0) add({ model, kind }, count);
    });
    this.#readCounter("tokilake_request_bytes_total", "Bytes of request bodies.", () => this.#requests.requestBytes);
    this.#readCounter("tokilake_response_bytes_total", "Bytes of response bodies.", () => this.#requests.responseBytes);
    this.#readCounter(
      "tokilake_retries_total",
      "Attempts after the first one of a request.",
      () => this.#requests.retries,
    );
  }

  #runtimeGauges(version: string): void {
    const registers = [this.#registry];
    new Gauge({
      name: "tokilake_build_info",
      help: "1; the version is the label.",
      labelNames: ["version", "node"],
      registers,
    })
      .labels(version, process.version)
      .set(1);
    const seconds = (nanoseconds: number): number => (Number.isFinite(nanoseconds) ? nanoseconds / 1e9 : 0);
    this.#gauge(
      "tokilake_event_loop_delay_p99_seconds",
      "Event-loop delay since the last scrape, 99th percentile.",
      () => seconds(this.#loopDelay.percentile(99)),
    );
    this.#gauge("tokilake_event_loop_delay_max_seconds", "Event-loop delay since the last scrape, longest.", () =>
      seconds(this.#loopDelay.max),
    );
    this.#gauge("process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss());
    this.#gauge("nodejs_heap_used_bytes", "JavaScript heap in use.", () => process.memoryUsage().heapUsed);
    this.#gauge(
      "nodejs_external_bytes",
      "Memory outside the heap, buffers included.",
      () => process.memoryUsage().external,
    );
    this.#gauge("process_start_time_seconds", "When the process began.", () => Date.now() / 1000 - process.uptime());
    this.#readCounter("process_cpu_seconds_total", "User and system CPU time.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
  }

  // oxlint-disable-next-line max-params -- a metric's name, help and labels, then its values
  #collected<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    collectInto: (add: (labels: Record<L, string | number>, value: number) => void) => void,
  ): void {
    const collect = function collect(this: Counter<L>): void {
      this.reset();
      collectInto((labels, value) => this.inc(labels, value));
    };
    new Counter({ name, help, labelNames, collect, registers: [this.#registry] });
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #histogram<L extends string>(
    what: { readonly name: string; readonly help: string; readonly buckets: number[] },
    labelNames: readonly L[],
  ): Histogram<L> {
    return new Histogram({ ...what, labelNames, registers: [this.#registry] });
  }

  #gauge(name: string, help: string, source: () => number): void {
    this.#registry.removeSingleMetric(name);
    const collect = function collect(this: Gauge): void {
      this.set(source());
    };
    new Gauge({ name, help, collect, registers: [this.#registry] });
  }

  #readCounter(name: string, help: string, source: () => number): void {
    this.#registry.removeSingleMetric(name);
    const collect = function collect(this: Counter): void {
      this.reset();
      this.inc(source());
    };
    new Counter({ name, help, collect, registers: [this.#registry] });
  }
}

function* seriesOf<T>(
  tallies: ReadonlyMap<string, T>,
  of: (tally: T) => HistogramTally,
): Iterable<[string, HistogramTally]> {
  for (const [value, tally] of tallies) yield [value, of(tally)];
}
