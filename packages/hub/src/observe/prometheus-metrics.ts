import { monitorEventLoopDelay } from "node:perf_hooks";

import { Counter, Gauge, Histogram, Registry } from "prom-client";

import { LabelLimit } from "./label-limit.ts";
import { COUNTERS, GAUGES, type CounterName, type GaugeName, type Metrics, type MetricSources } from "./metrics.ts";
import type { RequestRecord } from "./request-log.ts";

/** Different values of one label; more become `other`. Series are the product of a metric's labels, so the sum stays in the thousands. */
const MAX_MODELS = 200;
const MAX_ROUTES = 50;
const MAX_CODES = 100;

/** Seconds. From a cached embedding to a long reasoning answer. */
const REQUEST_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900];
const FIRST_BYTE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Metrics in a registry of their own, so that two hubs in one process (tests) do not meet. */
export class PrometheusMetrics implements Metrics, Disposable {
  readonly #registry = new Registry();
  readonly #models = new LabelLimit(MAX_MODELS);
  readonly #routes = new LabelLimit(MAX_ROUTES);
  readonly #codes = new LabelLimit(MAX_CODES);
  readonly #loopDelay = monitorEventLoopDelay({ resolution: 10 });

  readonly #requests = this.#counter("tokilake_requests_total", "Finished requests.", ["route", "outcome", "status"]);
  readonly #modelRequests = this.#counter("tokilake_model_requests_total", "Finished requests by model.", [
    "model",
    "outcome",
  ]);
  readonly #tokens = this.#counter("tokilake_tokens_total", "Tokens, as the engines counted them.", ["model", "kind"]);
  readonly #requestBytes = this.#counter("tokilake_request_bytes_total", "Bytes of request bodies.", []);
  readonly #responseBytes = this.#counter("tokilake_response_bytes_total", "Bytes of response bodies.", []);
  readonly #retries = this.#counter("tokilake_retries_total", "Attempts after the first one of a request.", []);
  readonly #failedAttempts = this.#counter("tokilake_attempts_failed_total", "Attempts at a channel that failed.", [
    "code",
  ]);
  readonly #duration = this.#histogram(
    { name: "tokilake_request_seconds", help: "Whole requests.", buckets: REQUEST_BUCKETS },
    ["route"],
  );
  readonly #firstByte = this.#histogram(
    { name: "tokilake_first_byte_seconds", help: "Until the first byte for the client.", buckets: FIRST_BYTE_BUCKETS },
    ["model"],
  );

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
    this.#runtimeGauges(version);
  }

  requestFinished(record: RequestRecord): void {
    const route = this.#routes.value(record.route);
    const model = this.#modelLabel(record);
    this.#requests.labels(route, record.outcome, String(record.status)).inc();
    this.#modelRequests.labels(model, record.outcome).inc();
    this.#duration.labels(route).observe(record.totalMs / 1000);
    if (record.firstByteMs !== undefined) this.#firstByte.labels(model).observe(record.firstByteMs / 1000);
    this.#requestBytes.inc(record.requestBytes);
    this.#responseBytes.inc(record.responseBytes);
    if (record.attempts > 1) this.#retries.inc(record.attempts - 1);
    this.#countTokens(model, record);
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
    const text = await this.#registry.metrics();
    // The delay is that since the last scrape.
    this.#loopDelay.reset();
    return { contentType: this.#registry.contentType, text };
  }

  [Symbol.dispose](): void {
    this.#loopDelay.disable();
    this.#registry.clear();
  }

  /** A model that was never tried may be any text a client sent; one that was tried is one that a worker has. */
  #modelLabel(record: RequestRecord): string {
    if (record.model === undefined) return "none";
    return record.attempts === 0 ? "other" : this.#models.value(record.model);
  }

  #countTokens(model: string, record: RequestRecord): void {
    if (record.inputTokens !== undefined) this.#tokens.labels(model, "input").inc(record.inputTokens);
    if (record.outputTokens !== undefined) this.#tokens.labels(model, "output").inc(record.outputTokens);
    if (record.cacheReadTokens !== undefined) this.#tokens.labels(model, "cache_read").inc(record.cacheReadTokens);
    if (record.reasoningTokens !== undefined) this.#tokens.labels(model, "reasoning").inc(record.reasoningTokens);
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
