import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { startEngineProcess } from "../engine.ts";
import { eventually } from "../eventually.ts";
import { FaultProxy } from "../fault-proxy.ts";
import { chatBody, HttpExchange } from "../http-exchange.ts";
import { type Access, System } from "../system.ts";
import { assertCutStream, assertWholeStream, openStreams } from "./endings.ts";
import { takes } from "./long.ts";
import { type NetworkNamespace, openNetworkNamespace } from "./network-namespace.ts";

const MiB = 1024 * 1024;
const NOTICED_MS = 37_500;
const UPLINK_BITS_PER_SECOND = 20_000_000;
const REASON = "no network namespace can be made here: that needs Linux, iproute2 and root";

/** A system whose worker and engine are in another network, from where the hub is reached at this machine's address. */
async function startAcross(t: TestContext, network: NetworkNamespace): Promise<AsyncDisposable & { system: System }> {
  await using closing = new AsyncDisposableStack();
  const system = closing.use(await System.start(t, { worker: false }));
  const toHub = closing.use(await FaultProxy.start({ port: system.hub.port, listenHost: network.address }));
  const engine = closing.use(await startEngineProcess({ simulated: true, command: network.command }));
  const models = { simulated: engine.url };
  await system.addWorker("worker-a", { hubUrl: toHub.url, models, command: network.command });
  await system.listing("simulated");
  const moved = closing.move();
  return { system, [Symbol.asyncDispose]: () => moved[Symbol.asyncDispose]() };
}

test(
  "F5: packets between worker and hub vanish: both ends notice within 35 s, streams fail visibly, the worker returns",
  takes(50),
  async (t) => {
    using network = openNetworkNamespace();
    if (network === undefined) return t.skip(REASON);
    await using across = await startAcross(t, network);
    const { system } = across;
    const exchanges = await openStreams(system.access, 5, () =>
      chatBody({ tokens: 100_000, intervalMs: 50 }, { stream: true }),
    );

    const start = performance.now();
    network.cut();
    for (const exchange of exchanges) await assertCutStream(exchange, "worker_lost");
    const hubMs = performance.now() - start;
    const worker = system.program("worker-a");
    await eventually("the worker notices", () => /lost/.test(worker.log), 20_000);
    const workerMs = performance.now() - start;
    network.mend();

    t.diagnostic(`the hub noticed after ${hubMs.toFixed(0)} ms, the worker after ${workerMs.toFixed(0)} ms`);
    for (const ms of [hubMs, workerMs]) assert.ok(ms > 15_000 && ms < NOTICED_MS, `${ms} ms`);
    await eventually(
      "it serves again",
      () => system.hub.models(system.apiKey).then((models) => models.length > 0),
      60_000,
    );
  },
);

test(
  "F25: a link of 20 Mbit/s under a large upload: tokens come at most 50 ms later than without",
  takes(40),
  async (t) => {
    using network = openNetworkNamespace();
    if (network === undefined) return t.skip(REASON);
    await using across = await startAcross(t, network);
    const { access } = across.system;
    if (!network.limit(UPLINK_BITS_PER_SECOND)) return t.skip("this kernel cannot limit a link (sch_tbf)");
    const quiet = await tokenGaps(access);

    const uploading = upload(access);
    const besideUpload = await tokenGaps(access);
    await uploading;
    const speech = { model: "simulated", input: "x", voice: "v", simulate: { tokens: 100_000 } };
    const download = HttpExchange.whole(access, { path: "/audio/speech", body: speech });
    const besideAnswer = await tokenGaps(access);

    t.diagnostic(
      `99th percentile between tokens: alone ${quiet.toFixed(0)} ms, beside an upload ${besideUpload.toFixed(0)} ms, ` +
        `beside a large answer ${besideAnswer.toFixed(0)} ms`,
    );
    assert.equal((await download).bytes.length, 10_000_000);
    assert.ok(besideUpload - quiet <= 50, `${besideUpload - quiet} ms`);
    // It goes the tokens' own way: what the kernel holds of it (about 128 KiB here) is before them, whatever we do.
    assert.ok(besideAnswer - quiet <= 200, `${besideAnswer - quiet} ms`);
  },
);

/** Ten megabytes in a form, as fast as the link takes them. */
async function upload(access: Access): Promise<void> {
  const form = new FormData();
  form.append("model", "simulated");
  form.append("file", new Blob([new Uint8Array(10 * MiB)]), "sound.wav");
  const headers = { authorization: `Bearer ${access.apiKey}` };
  const answer = await fetch(`${access.baseURL}/audio/transcriptions`, { method: "POST", headers, body: form });
  assert.equal(answer.status, 200, await answer.text());
}

/** The 99th percentile of the time between two tokens of 20 streams of three seconds, in milliseconds. */
async function tokenGaps(access: Access): Promise<number> {
  const body = chatBody({ tokens: 150, intervalMs: 20 }, { stream: true });
  const gaps: number[] = [];
  const exchanges = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const exchange = await HttpExchange.open(access, { body });
      let last = performance.now();
      exchange.onData(() => {
        const now = performance.now();
        gaps.push(now - last);
        last = now;
      });
      return exchange;
    }),
  );
  for (const exchange of exchanges) await assertWholeStream(exchange, 150);
  return gaps.toSorted((one, other) => one - other)[Math.floor(gaps.length * 0.99)] ?? NaN;
}
