import type { RequestRecord } from "./request-log.ts";

/** Gauges that are read when somebody scrapes. Names of the tunnel's follow the list the best tunnels expose. */
export const GAUGES = {
  tunnel_connections: "Workers' sessions that are open now.",
  tunnel_streams_active: "Streams open on all sessions now.",
  tunnel_rtt_seconds: "Round trip to the farthest worker, by the hub's own ping.",
  tunnel_draining: "1 while the hub lets its sessions run out, else 0.",
  tokilake_requests_in_flight: "Requests between their first byte in and their last byte out.",
  tokilake_request_body_bytes: "Request body bytes held in memory.",
  tokilake_spool_bytes: "Bytes of uploads on disk that wait for their model.",
  tokilake_request_log_queued: "Request records waiting to be written.",
} as const;

export type GaugeName = keyof typeof GAUGES;

/** Counters that only grow, read when somebody scrapes. */
export const COUNTERS = {
  tunnel_received_bytes_total: "Bytes received from workers.",
  tunnel_sent_bytes_total: "Bytes sent to workers.",
  tokilake_request_log_dropped_total: "Request records lost because the writer was too far behind.",
  tokilake_request_log_restarts_total: "Times the request log's writer crashed and was started again.",
} as const;

export type CounterName = keyof typeof COUNTERS;

/** Where gauges and counters are read, by their names. */
export type MetricSources = Partial<Record<GaugeName | CounterName, () => number>>;

/** What the journey tells the metrics. Labels are bounded here, so callers pass what they have. */
export interface Metrics {
  /** Once for each request, when it is settled. */
  requestFinished(record: RequestRecord): void;
  /** An attempt at a channel failed, whether or not another one followed. `code`: the tunnel's or the hub's error code. */
  attemptFailed(code: string): void;
  /** A worker asked to connect. `result`: `accepted`, or the code it was refused with. */
  tunnelConnect(result: string): void;
  /** A session ended. `reason`: the tunnel's error code. `heldMs`: how long it was open. */
  tunnelDisconnect(reason: string, heldMs: number): void;
  /** Gives the values of gauges and counters that somebody else keeps. A name that nobody gives is not shown. A later call for a name replaces it. */
  read(sources: MetricSources): void;
  /** Everything in Prometheus' text format. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
}
