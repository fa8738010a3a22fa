import assert from "node:assert/strict";
import { test } from "node:test";

import { PrometheusMetrics } from "./prometheus-metrics.ts";
import type { RequestRecord } from "./request-log.ts";

const RECORD: RequestRecord = {
  requestId: "req_1",
  startedAtMs: 0,
  model: "llama3:8b",
  route: "/v1/chat/completions",
  method: "POST",
  streamed: true,
  status: 200,
  outcome: "complete",
  attempts: 2,
  requestBytes: 10,
  responseBytes: 20,
  inputTokens: 7,
  outputTokens: 5,
  firstByteMs: 20,
  totalMs: 300,
};

test("a finished request is counted by route, model and outcome", async () => {
  using metrics = new PrometheusMetrics("1.2.3");

  metrics.requestFinished(RECORD);
  metrics.requestFinished({ ...RECORD, status: 502, outcome: "failed", firstByteMs: undefined });

  const lines = await linesOf(metrics);
  for (const line of [
    'tokilake_requests_total{route="/v1/chat/completions",outcome="complete",status="200"} 1',
    'tokilake_requests_total{route="/v1/chat/completions",outcome="failed",status="502"} 1',
    'tokilake_model_requests_total{model="llama3:8b",outcome="complete"} 1',
    'tokilake_tokens_total{model="llama3:8b",kind="input"} 14',
    'tokilake_tokens_total{model="llama3:8b",kind="output"} 10',
    "tokilake_request_bytes_total 20",
    "tokilake_response_bytes_total 40",
    "tokilake_retries_total 2",
    'tokilake_request_seconds_bucket{le="0.25",route="/v1/chat/completions"} 0',
    'tokilake_request_seconds_bucket{le="0.5",route="/v1/chat/completions"} 2',
    'tokilake_first_byte_seconds_count{model="llama3:8b"} 1',
    `tokilake_build_info{version="1.2.3",node="${process.version}"} 1`,
  ]) {
    assert.ok(lines.includes(line), line);
  }
});

test("a model that nobody serves has no series of its own, and there are never more than 200 models", async () => {
  using metrics = new PrometheusMetrics("0");

  for (let i = 0; i < 300; i += 1) metrics.requestFinished({ ...RECORD, model: `asked ${i}`, attempts: 0 });
  for (let i = 0; i < 300; i += 1) metrics.requestFinished({ ...RECORD, model: `served ${i}` });

  const lines = await linesOf(metrics);
  const series = lines.filter((line) => line.startsWith("tokilake_model_requests_total{"));
  assert.equal(series.length, 201);
  assert.ok(series.includes('tokilake_model_requests_total{model="other",outcome="complete"} 400'));
  assert.ok(series.includes('tokilake_model_requests_total{model="served 199",outcome="complete"} 1'));
});

test("the tunnel's events are counted under the names that operators know", async () => {
  using metrics = new PrometheusMetrics("0");

  metrics.tunnelConnect("accepted");
  metrics.tunnelDisconnect("idle", 5000);
  metrics.attemptFailed("refused");

  const lines = await linesOf(metrics);
  for (const line of [
    'tunnel_connects_total{result="accepted"} 1',
    'tunnel_disconnects_total{reason="idle"} 1',
    'tunnel_session_seconds_bucket{le="10"} 1',
    'tokilake_attempts_failed_total{code="refused"} 1',
  ]) {
    assert.ok(lines.includes(line), line);
  }
});

test("gauges and counters that others keep are read at each scrape, and only those that were given", async () => {
  using metrics = new PrometheusMetrics("0");
  let sessions = 3;
  metrics.read({ tunnel_connections: () => sessions, tokilake_request_log_dropped_total: () => 9 });

  const first = await linesOf(metrics);
  sessions = 4;
  const second = await linesOf(metrics);

  assert.ok(first.includes("tunnel_connections 3"));
  assert.ok(second.includes("tunnel_connections 4"));
  assert.ok(second.includes("tokilake_request_log_dropped_total 9"));
  assert.ok(!second.some((line) => line.startsWith("tunnel_streams_active")));
});

test("a source given again takes the place of the one before", async () => {
  using metrics = new PrometheusMetrics("0");

  metrics.read({ tunnel_connections: () => 1 });
  metrics.read({ tunnel_connections: () => 2 });

  assert.deepEqual(
    (await linesOf(metrics)).filter((line) => line.startsWith("tunnel_connections")),
    ["tunnel_connections 2"],
  );
});

async function linesOf(metrics: PrometheusMetrics): Promise<string[]> {
  return (await metrics.render()).text.split("\n");
}
