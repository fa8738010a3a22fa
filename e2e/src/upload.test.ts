import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";

import { startSimulatedEngine } from "@tokilake/tiny-engine";
import OpenAI, { toFile } from "openai";

import { eventually } from "./eventually.ts";
import { HttpExchange } from "./http-exchange.ts";
import type { RunningProcess } from "./running-process.ts";
import { type Access, System } from "./system.ts";

const MiB = 1024 * 1024;
const UPLOAD_BYTES = 200 * MiB;
/**
 * What the upload may add to the memory of a process: less than its size, or it was buffered. Hub and worker hold 5 to
 * 20 MiB of it at a time (seen with garbage collected all the while); the rest, 40 to 150 MiB, is garbage that V8 has not
 * collected yet, more on a busy machine.
 */
const MAX_GROWTH_BYTES = 190 * MiB;
/** The same when nothing moves, so that there is no garbage to speak of. */
const MAX_HELD_BYTES = 64 * MiB;
/** What may be under way to an engine that reads nothing: windows, queues and the kernel's buffers of three connections. */
const MAX_UNDER_WAY_BYTES = 48 * MiB;

const HEAD =
  '--edge\r\ncontent-disposition: form-data; name="model"\r\n\r\nsimulated\r\n' +
  '--edge\r\ncontent-disposition: form-data; name="file"; filename="long.wav"\r\ncontent-type: audio/wav\r\n\r\n';
const TAIL = "\r\n--edge--\r\n";

/** A form with a file of `bytes`, made while it is sent. No two of its chunks are the same. */
function* formOf(bytes: number): Generator<Buffer> {
  yield Buffer.from(HEAD);
  for (let left = bytes, index = 0; left > 0; left -= 64 * 1024, index += 1) {
    const chunk = Buffer.alloc(Math.min(left, 64 * 1024), `chunk ${index} `);
    yield chunk;
  }
  yield Buffer.from(TAIL);
}

/** A `POST /v1/audio/transcriptions` whose body is still to be written. */
function beginUpload(access: Access, bytes: number): ClientRequest {
  return request(`${access.baseURL}/audio/transcriptions`, {
    method: "POST",
    agent: new Agent({ keepAlive: false }),
    headers: {
      authorization: `Bearer ${access.apiKey}`,
      "content-type": "multipart/form-data; boundary=edge",
      "content-length": HEAD.length + bytes + TAIL.length,
    },
  });
}

/** Sends a form with a file of `bytes`. Resolves with the status and the hash of what was sent. */
async function upload(access: Access, bytes: number): Promise<{ status: number | undefined; sha256: string }> {
  const hash = createHash("sha256");
  const outgoing = beginUpload(access, bytes);
  const answered = once(outgoing, "response") as Promise<[IncomingMessage]>;
  const hashed = function* (): Generator<Buffer> {
    for (const chunk of formOf(bytes)) {
      hash.update(chunk);
      yield chunk;
    }
  };
  await pipeline(Readable.from(hashed()), outgoing);
  const [response] = await answered;
  response.resume();
  await once(response, "end");
  return { status: response.statusCode, sha256: hash.digest("hex") };
}

/** Looks at the memory of `programs` every 20 ms. `stop` tells by how much each has grown at most. */
function watchMemory(programs: readonly RunningProcess[]): { stop(): number[] } {
  const start = programs.map((program) => program.rssBytes());
  const most = [...start];
  const look = () => {
    for (const [index, program] of programs.entries()) most[index] = Math.max(most[index] ?? 0, program.rssBytes());
  };
  const timer = setInterval(look, 20);
  return {
    stop() {
      clearInterval(timer);
      look();
      return most.map((bytes, index) => bytes - (start[index] ?? 0));
    },
  };
}

function shown(bytes: number): string {
  return `${(bytes / MiB).toFixed(1)} MiB`;
}

test("a large upload", async (t) => {
  await using system = await System.start(t);
  const { access, engine } = system;

  await t.test("of 200 MB arrives whole, at bounded memory in hub and worker", async (t) => {
    // Code and first buffers are there after this one.
    await upload(access, 2 * MiB);
    const memory = watchMemory([system.hub.process, system.program("worker-a")]);
    const started = performance.now();

    const sent = await upload(access, UPLOAD_BYTES);

    const [hubGrowth = NaN, workerGrowth = NaN] = memory.stop();
    const tookMs = Math.round(performance.now() - started);
    t.diagnostic(`${tookMs} ms; growth of the hub ${shown(hubGrowth)}, of the worker ${shown(workerGrowth)}`);
    const received = engine.requests.at(-1);
    assert.equal(sent.status, 200);
    assert.equal(received?.bodySha256, sent.sha256);
    assert.equal(received?.bodyBytes, HEAD.length + UPLOAD_BYTES + TAIL.length);
    assert.ok(hubGrowth < MAX_GROWTH_BYTES, `hub ${shown(hubGrowth)}`);
    assert.ok(workerGrowth < MAX_GROWTH_BYTES, `worker ${shown(workerGrowth)}`);
  });

  await t.test("is as slow as the engine that takes it, at bounded memory, and holds up no other request", async () => {
    await using stuck = await startSimulatedEngine({ behaviour: { stopReadingAfter: MiB } });
    await system.addWorker("worker-stuck", { models: { stuck: stuck.url } });
    await system.listing("stuck");
    const memory = watchMemory([system.hub.process, system.program("worker-stuck")]);
    const outgoing = beginUpload(access, UPLOAD_BYTES);
    outgoing.on("error", () => {});
    let sent = 0;
    const write = () => {
      while (sent < UPLOAD_BYTES && !outgoing.destroyed) {
        sent += 64 * 1024;
        if (!outgoing.write(Buffer.alloc(64 * 1024))) return;
      }
    };
    outgoing.on("drain", write);
    outgoing.write(HEAD.replace("simulated", "stuck"));
    write();

    let before = -1;
    let stillSince = 0;
    await eventually("the client is held up for half a second", () => {
      if (sent !== before || stuck.counts().active === 0) stillSince = performance.now();
      before = sent;
      return performance.now() - stillSince > 500;
    });

    const growth = memory.stop();
    t.diagnostic(`held up after ${shown(sent)}; growth of the hub and the worker ${growth.map(shown).join(", ")}`);
    assert.ok(sent < MAX_UNDER_WAY_BYTES, shown(sent));
    assert.ok(growth.every((bytes) => bytes < MAX_HELD_BYTES));
    // Beside it, on the same tunnel and at the same engine, others are served.
    const body = { model: "stuck", messages: [], simulate: {} };
    assert.equal((await HttpExchange.whole(access, { body })).status, 200);
    outgoing.destroy();
  });

  await t.test("of one file is not taken for the whole when the client goes away in the middle", async () => {
    const { completed, cancelled } = engine.counts();
    const outgoing = beginUpload(access, UPLOAD_BYTES);
    outgoing.on("error", () => {});
    outgoing.write(HEAD);
    for (let chunk = 0; chunk < 32; chunk += 1) outgoing.write(Buffer.alloc(64 * 1024));
    await engine.waitFor((counts) => counts.active === 1);

    outgoing.destroy();

    await engine.waitFor((counts) => counts.cancelled === cancelled + 1);
    assert.equal(engine.counts().completed, completed);
  });

  await t.test("goes through the openai SDK, which sends the file before the model", async () => {
    const client = new OpenAI({ ...access, maxRetries: 0, timeout: 20_000 });
    const file = await toFile(Buffer.alloc(5 * MiB, "sound "), "sound.wav");

    const transcription = await client.audio.transcriptions.create({ file, model: "simulated" });

    assert.match(transcription.text, /^token-0/);
  });
});
