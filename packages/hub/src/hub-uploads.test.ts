import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import type { TunnelStream } from "@tokilake/tunnel";

import { answerJson, bodyOf, resetOf, startTestHub, TEST_CONFIG, type TestHub } from "./test-hub.ts";

const TRANSCRIBE = "/v1/audio/transcriptions";
const BOUNDARY = "xYzZY";
const FORM_TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

function field(name: string, value: string): string {
  return `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
}

const FILE_HEAD = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\n`;
const END = `\r\n--${BOUNDARY}--\r\n`;

function form(parts: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(parts.map((part) => Buffer.from(part)));
}

function upload(hub: TestHub, body: Uint8Array, headers: Record<string, string> = {}, query = ""): Promise<Response> {
  const all = { authorization: "Bearer sk-test", "content-type": FORM_TYPE, ...headers };
  return fetch(`${hub.url}${TRANSCRIBE}${query}`, { method: "POST", body, headers: all });
}

async function connectHashing(hub: TestHub): Promise<void> {
  await hub.connect(async (stream) => {
    const hash = createHash("sha256");
    for await (const chunk of stream.body) hash.update(chunk);
    answerJson(stream, { model: stream.opening.model, sha256: hash.digest("hex") });
  });
}

test("a small form finds its model behind the file, and arrives byte for byte", async () => {
  await using hub = await startTestHub();
  await connectHashing(hub);
  const body = form([FILE_HEAD, Buffer.alloc(10_000, 7), "\r\n", field("model", "m"), END.slice(2)]);

  const response = await upload(hub, body);

  assert.deepEqual(await response.json(), { model: "m", sha256: createHash("sha256").update(body).digest("hex") });
});

test("a large form with its model first streams through, byte for byte", async () => {
  await using hub = await startTestHub();
  await connectHashing(hub);
  const body = form([field("model", "m"), FILE_HEAD, Buffer.alloc(20_000_000, 7), END]);

  const response = await upload(hub, body);

  assert.deepEqual(await response.json(), { model: "m", sha256: createHash("sha256").update(body).digest("hex") });
});

test("a large form with its file first arrives byte for byte, and leaves nothing on disk", async () => {
  await using hub = await startTestHub();
  await connectHashing(hub);
  const file = Buffer.alloc(3_000_000, 7);
  const last = form([FILE_HEAD, file, "\r\n", field("model", "m"), END.slice(2)]);
  const between = form([FILE_HEAD, file, "\r\n", field("model", "m"), FILE_HEAD, file, END]);

  for (const body of [last, between]) {
    const response = await upload(hub, body);

    assert.deepEqual(await response.json(), { model: "m", sha256: createHash("sha256").update(body).digest("hex") });
  }
  assert.deepEqual(readdirSync(join(hub.dataDir, "spool")), []);
});

test("a model in the header or the address spares a large form the way over the disk", async () => {
  await using hub = await startTestHub();
  await connectHashing(hub);
  const body = form([FILE_HEAD, Buffer.alloc(3_000_000, 7), "\r\n", field("model", "m"), END.slice(2)]);

  const byHeader = await upload(hub, body, { "x-model": "m" });
  const byAddress = await upload(hub, body, {}, "?model=m");

  assert.deepEqual([byHeader.status, byAddress.status], [200, 200]);
  assert.equal(existsSync(join(hub.dataDir, "spool")), false);
});

test("a large form without a model is refused, and one too many on disk is told to come back", async () => {
  await using hub = await startTestHub();
  await connectHashing(hub);
  const nameless = form([FILE_HEAD, Buffer.alloc(3_000_000, 7), END]);
  const large = form([FILE_HEAD, Buffer.alloc(12_000_000, 7), "\r\n", field("model", "m"), END.slice(2)]);

  const refused = await upload(hub, nameless);
  const tooMuch = await upload(hub, large);
  const later = await upload(
    hub,
    form([FILE_HEAD, Buffer.alloc(3_000_000), "\r\n", field("model", "m"), END.slice(2)]),
  );

  assert.equal(refused.status, 400);
  assert.match(await refused.text(), /"missing_required_parameter"/);
  assert.deepEqual([tooMuch.status, tooMuch.headers.get("retry-after")], [503, "5"]);
  assert.equal(later.status, 200);
});

test("a small form is sent again to another worker, a large one that was begun is not", async () => {
  await using hub = await startTestHub();
  const asked: string[] = [];
  await hub.connect(
    async (stream) => {
      asked.push("bad");
      await bodyOf(stream);
      stream.reset("target-reset");
    },
    { name: "bad" },
  );
  await hub.connect(
    async (stream) => {
      asked.push("good");
      answerJson(stream, { length: (await bodyOf(stream)).length });
    },
    { name: "good" },
  );
  const small = form([field("model", "m"), FILE_HEAD, Buffer.alloc(100_000), END]);
  const large = form([field("model", "m"), FILE_HEAD, Buffer.alloc(5_000_000), END]);

  const retried = await upload(hub, small);
  const failed = await upload(hub, large);

  assert.deepEqual(await retried.json(), { length: small.length });
  assert.equal(failed.status, 502);
  assert.deepEqual(asked, ["bad", "good", "bad"]);
});

test("an upload is read no faster than the worker takes it", async () => {
  await using hub = await startTestHub();
  const opened = Promise.withResolvers<void>();
  await hub.connect(async (stream) => {
    opened.resolve();
    await resetOf(stream);
  });
  const client = request(`${hub.url}${TRANSCRIBE}`, {
    method: "POST",
    headers: { authorization: "Bearer sk-test", "content-type": FORM_TYPE, "content-length": "200000000" },
  });
  client.on("error", () => {});
  const chunk = Buffer.alloc(1_000_000);
  let taken = 0;
  const send = (): void => {
    taken += chunk.length;
    client.write(chunk);
  };
  client.on("drain", send);
  client.write(field("model", "m") + FILE_HEAD);
  send();

  await opened.promise;
  // Until nothing more goes: twice the same count, a little apart. A hub that reads on would take all in this time.
  for (let before = -1; before !== taken; await sleep(100)) before = taken;

  assert.ok(taken < 20_000_000, `${taken} bytes were taken`);
  client.destroy();
});

test("a worker that answers before the upload's end is heard, and the connection is closed", async () => {
  await using hub = await startTestHub();
  await hub.connect((stream) => {
    answerJson(stream, { error: { message: "no audio today" } }, 400);
    stream.stop("no-error");
  });
  const body = form([field("model", "m"), FILE_HEAD, Buffer.alloc(2_500_000), END]);

  const response = await upload(hub, body);

  assert.equal(response.status, 400);
  assert.deepEqual(await response.json(), { error: { message: "no audio today" } });
});

test("a form that is none is refused with what is wrong", async () => {
  await using hub = await startTestHub();
  const messages: string[] = [];

  const noBoundary = await upload(hub, Buffer.from("x"), { "content-type": "multipart/form-data" });
  for (const body of [
    "{}",
    form([...Array.from({ length: 101 }, (_, n) => field(`f${n}`, "")), END.slice(2)]),
    form([field("model", "m"), field("model", "n"), END.slice(2)]),
  ]) {
    const response = await upload(hub, Buffer.from(body));
    messages.push(`${response.status} ${((await response.json()) as { error: { message: string } }).error.message}`);
  }

  assert.equal(noBoundary.status, 400);
  assert.deepEqual(messages, [
    "400 The multipart body cannot be read: the body does not start with the boundary that the content type names.",
    "400 The multipart body cannot be read: it has more than 100 parts.",
    '400 The multipart body cannot be read: it has the field "model" twice.',
  ]);
});

/** An upload whose engine takes nothing, as far as it gets. Resolves when the client can send no more for now. */
async function holdBack(
  hub: TestHub,
  bytes: number,
): Promise<{ readonly socket: Socket; readonly stream: TunnelStream }> {
  const opened = Promise.withResolvers<TunnelStream>();
  await hub.connect((stream) => opened.resolve(stream));
  const socket = connect(hub.port, "127.0.0.1");
  socket.on("error", () => undefined);
  const body = form([field("model", "m"), FILE_HEAD, Buffer.alloc(bytes, 7)]);
  socket.write(
    `POST ${TRANSCRIBE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\ncontent-type: ${FORM_TYPE}\r\n` +
      `content-length: ${body.length + 10}\r\n\r\n`,
  );
  socket.write(body);
  const stream = await opened.promise;
  let left = -1;
  while (socket.writableLength !== left) {
    left = socket.writableLength;
    await sleep(50);
  }
  return { socket, stream };
}

test("a client whose upload is held back and that goes away is noticed: what it sent was read ahead", async () => {
  await using hub = await startTestHub();
  const { socket, stream } = await holdBack(hub, 2_000_000);

  const goneAt = performance.now();
  socket.destroy();
  await resetOf(stream);

  assert.ok(performance.now() - goneAt < 250, `${performance.now() - goneAt} ms`);
  assert.equal((await hub.requests.next()).outcome, "cancelled");
});

test("an upload that is held back reads ahead only while half the memory for bodies is free; a reset is noticed anyway", async () => {
  const limits = { ...TEST_CONFIG.limits, maxBodyMemoryBytes: 3_000_000 };
  await using hub = await startTestHub({ limits });
  const { socket, stream } = await holdBack(hub, 30_000_000);

  const other = await hub.post("/v1/embeddings", { model: "none", input: "x".repeat(1_000_000) });
  const goneAt = performance.now();
  socket.resetAndDestroy();
  await resetOf(stream);

  assert.equal(other.status, 404);
  assert.ok(performance.now() - goneAt < 400, `${performance.now() - goneAt} ms`);
});
