import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { describeMachine, isInstalled } from "./machine/machine.ts";
import { ProcessGroup } from "./machine/process-group.ts";
import { parseOptions } from "./options.ts";
import { Results } from "./report/results.ts";
import { type Bench, runLoad } from "./rows/bench.ts";
import { measureBulk } from "./rows/tunnel-bulk-row.ts";
import { runTunnelGrowthRow } from "./rows/tunnel-growth-row.ts";
import { runTunnelIdleRow } from "./rows/tunnel-idle-row.ts";
import { hasWrk, runWrk } from "./rows/wrk.ts";
import { benchBody, FIRST_TOKEN } from "./systems/bench-models.ts";
import { directSystem } from "./systems/direct.ts";
import { startEngine } from "./systems/engine.ts";
import { startSystem } from "./systems/start-system.ts";
import type { RunningSystem, SystemName } from "./systems/system.ts";
import { answerBody } from "./tunnel/answers.ts";
import { startTunnel, TUNNEL_NAMES } from "./tunnel/start-tunnel.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const needsLinux = process.platform === "linux" ? false : "reads Linux's /proc";

test("the generators get what they ask for straight from the engine", { skip: needsLinux }, async () => {
  await using programs = new ProcessGroup({ canPin: false });
  const bench = await smokeBench(programs);

  await assertAllLoads(bench, directSystem(bench.surroundings.enginePort));
});

for (const name of ["nginx", "node-proxy", "portkey"] as const) {
  test(`${name} answers the generators as the engine does`, { skip: needsLinux || missing(name) }, async () => {
    await using programs = new ProcessGroup({ canPin: false });
    const bench = await smokeBench(programs);
    const system = await startSystem(name, bench.surroundings);

    await assertAllLoads(bench, system);
  });
}

for (const name of TUNNEL_NAMES) {
  test(`the tunnel's loads get their answers: ${name}`, { skip: needsLinux }, async () => {
    await using programs = new ProcessGroup({ canPin: false });
    const bench = await smokeBench(programs);
    const system = await startTunnel(bench.surroundings, { name, sessions: 1 });
    const load = { target: system.target(), warmMs: 0, runMs: 300, watch: [system.pid] };
    const streams = { ...load, kind: "streams", streams: 4, spreadMs: 0, repeats: true } as const;

    const whole = await runLoad(bench, { kind: "closed-loop", ...load, connections: 4, body: answerBody("whole") });
    const paced = await runLoad(bench, { ...streams, body: answerBody("paced", 5) });
    const flatOut = await runLoad(bench, { ...streams, body: answerBody("flat-out", 20) });
    const bulk = await measureBulk(bench, name, 10);

    assert.deepEqual([whole.errors, paced.errors, flatOut.errors, bulk.errors], [0, 0, 0, 0]);
    assert.ok(whole.requests > 0 && paced.events > 0 && flatOut.events > 0);
    assert.ok((bulk.values["bulk-10"] ?? 0) > 0);
  });
}

test("idle workers and open streams of the tunnel are opened and measured", { skip: needsLinux }, async () => {
  await using programs = new ProcessGroup({ canPin: false });
  const bench = await smokeBench(programs);

  await runTunnelIdleRow(bench, [2]);
  await runTunnelGrowthRow(bench, [3]);

  const figures = ["memory-tunnel-worker-2", "cpu-tunnel-idle", "cpu-tunnel-open-3", "growth"];
  for (const id of figures) assert.equal(bench.results.summary(id, "v2")?.total, 1, id);
});

test("a long line delays both ways and loses nothing", { skip: needsLinux }, async () => {
  await using programs = new ProcessGroup({ canPin: false });
  const { surroundings } = await smokeBench(programs);
  const direct = await startTunnel(surroundings, { name: "direct", sessions: 0, delayMs: 40 });

  const startMs = performance.now();
  const url = `http://127.0.0.1:${direct.target().port}/v1/chat/completions`;
  const response = await fetch(url, { method: "POST", body: answerBody("flat-out", 1000) });
  const text = await response.text();

  assert.ok(performance.now() - startMs >= 80);
  assert.equal(text.split("\n\n").length, 1001);
});

test("everything a run started ends with it", { skip: needsLinux }, async () => {
  const programs = new ProcessGroup({ canPin: false });
  const bench = await smokeBench(programs);
  const { pid } = await startSystem("node-proxy", bench.surroundings);
  assert.ok(pid !== undefined && programs.pids.includes(pid));

  await programs[Symbol.asyncDispose]();

  assert.deepEqual(programs.pids, []);
  assert.ok(!existsSync(`/proc/${pid}`));
  assert.ok(!existsSync(programs.folder));
});

async function smokeBench(programs: ProcessGroup): Promise<Bench> {
  const options = parseOptions(["--quick"]);
  assert.ok(options !== undefined);
  const enginePort = await startEngine(programs);
  const machine = describeMachine(ROOT);
  const surroundings = { programs, machine, enginePort, root: ROOT, profileFolder: undefined, streams: 4 };
  return { options, surroundings, results: new Results(), say: () => {} };
}

/** Each kind of load for a moment: something came, and nothing went wrong. How fast is no matter here. */
async function assertAllLoads(bench: Bench, system: RunningSystem): Promise<void> {
  const watch = system.pid === undefined ? [] : [system.pid];
  const load = { target: system.target(), warmMs: 0, runMs: 300, watch };
  const answers = { ...load, connections: 4, body: benchBody("bench-answer") };
  const streams = { ...load, kind: "streams", streams: 4, spreadMs: 0, repeats: true } as const;
  const short = { ...load, kind: "open-loop", connections: 8, perSecond: 100, seed: 1 } as const;

  const closed = await runLoad(bench, { kind: "closed-loop", ...answers });
  const paced = await runLoad(bench, { ...streams, body: benchBody("bench-paced", 20) });
  const flatOut = await runLoad(bench, { ...streams, body: benchBody("bench-flat-out") });
  const open = await runLoad(bench, { ...short, body: benchBody("bench-short"), until: { text: FIRST_TOKEN } });
  const byWrk = hasWrk() ? await runWrk(bench.surroundings.programs, answers) : closed;

  const results = { closed, paced, flatOut, open, byWrk };
  for (const [kind, result] of Object.entries(results)) assert.equal(result.errors, 0, `errors of ${kind}`);
  assert.ok(closed.requests > 0 && byWrk.requests > 0 && open.requests > 0, "answers came");
  assert.ok(paced.events > 0 && flatOut.events > 0, "chunks came");
  assert.ok(open.latency !== undefined && open.latency.p99 >= open.latency.p50 && open.latency.p50 > 0);
}

/** Why a peer cannot be tried here. Nothing is installed by a test. */
function missing(name: SystemName): string | false {
  if (name === "nginx" && !isInstalled("nginx", "-v")) return "nginx is not installed";
  if (name === "portkey" && !existsSync(join(ROOT, "bench", "peers", "node_modules")))
    return "Portkey is not installed";
  return false;
}
