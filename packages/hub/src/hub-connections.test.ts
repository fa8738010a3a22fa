import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, request } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";

import type { TunnelStream } from "@tokilake/tunnel";

import {
  answerJson,
  beginEvents,
  bodyOf,
  delta,
  startTestHub,
  STOP,
  type TestHub,
  type TestWorkerOptions,
  writeEvent,
} from "./test-hub.ts";

const CHAT = "/v1/chat/completions";
const STREAMED = { model: "m", stream: true, messages: [] };

/** A worker with two connections. Streams are kept by the slot they came on, and answered by the test. */
class TwoConnections {
  readonly streams: TunnelStream[][] = [[], []];
  #wake: (() => void) | undefined;

  static async open(hub: TestHub, options: readonly TestWorkerOptions[] = [{}, {}]): Promise<TwoConnections> {
    const worker = new TwoConnections();
    for (const [slot, each] of options.entries()) await worker.connect(hub, slot, each);
    return worker;
  }

  async connect(hub: TestHub, slot: number, options: TestWorkerOptions = {}): Promise<void> {
    const serve = (stream: TunnelStream): void => {
      this.streams[slot]?.push(stream);
      this.#wake?.();
    };
    await hub.connect(serve, { ...options, place: { instanceId: "i", slot } });
  }

  /** The stream that came on the slot as its `count`th. */
  async stream(slot: number, count: number): Promise<TunnelStream> {
    for (;;) {
      const stream = this.streams[slot]?.[count - 1];
      if (stream !== undefined) return stream;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** An upload of unknown length that goes on until the test ends it. */
function startUpload(hub: TestHub): ClientRequest {
  const client = request(`${hub.url}/v1/audio/transcriptions?model=m`, {
    method: "POST",
    headers: { authorization: "Bearer sk-test", "content-type": "multipart/form-data; boundary=b" },
  });
  client.on("error", () => {});
  client.write('--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n');
  client.write(Buffer.alloc(1_200_000));
  return client;
}

/** A line to the hub that can be cut, for good. */
async function startLine(port: number): Promise<AsyncDisposable & { readonly url: string; cut(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => other.destroy());
      one.pipe(other);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const closed = once(server, "close");
  const cut = (): void => {
    server.close();
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    async [Symbol.asyncDispose]() {
      cut();
      await closed;
    },
  };
}

test("a large upload does not share a connection with a stream, before or after it", async () => {
  await using hub = await startTestHub();
  const worker = await TwoConnections.open(hub);

  const before = hub.post(CHAT, STREAMED);
  await worker.stream(0, 1);
  const upload = startUpload(hub);
  const answered = once(upload, "response");
  const uploaded = await worker.stream(1, 1);
  const after = hub.post(CHAT, STREAMED);
  await worker.stream(0, 2);
  const priorities = worker.streams.map((streams) => streams.map(({ opening }) => opening.priority));

  assert.deepEqual(priorities, [["interactive", "interactive"], ["bulk"]]);
  for (const stream of worker.streams[0] ?? []) {
    beginEvents(stream);
    for (const event of [delta("a"), STOP, "[DONE]"]) writeEvent(stream, event);
    stream.end();
  }
  for (const response of await Promise.all([before, after])) assert.match(await response.text(), /\[DONE\]/);
  upload.end("\r\n--b--\r\n");
  assert.ok((await bodyOf(uploaded)).length > 1_200_000);
  answerJson(uploaded, { text: "heard" });
  await answered;
});

test("two connections of a worker have its slots once: a third request waits for one of two", async () => {
  await using hub = await startTestHub();
  const worker = await TwoConnections.open(hub, [{ slots: 2 }, { slots: 2 }]);
  const first = [hub.post(CHAT, { model: "m" }), hub.post(CHAT, { model: "m" })];
  await worker.stream(0, 2);
  const third = hub.post(CHAT, { model: "m" });
  // What was sent after it has its answer, so the third is at the hub.
  await (await fetch(`${hub.url}/healthz`)).text();
  const whileFull = worker.streams.flat().length;

  for (const stream of worker.streams.flat()) answerJson(stream, { ok: true });
  answerJson(await worker.stream(0, 3), { ok: true });

  assert.equal(whileFull, 2);
  for (const response of await Promise.all([...first, third])) assert.deepEqual(await response.json(), { ok: true });
});

test("a connection that breaks ends its own streams; the other's go on, and new requests work at once", async () => {
  await using hub = await startTestHub();
  await using line = await startLine(hub.port);
  const worker = new TwoConnections();
  const begin = async (slot: number): Promise<Response> => {
    const response = hub.post(CHAT, STREAMED);
    const stream = await worker.stream(slot, 1);
    beginEvents(stream);
    writeEvent(stream, delta("a"));
    return response;
  };
  await worker.connect(hub, 1);
  const living = await begin(1);
  await worker.connect(hub, 0, { url: line.url });
  const doomed = await begin(0);

  line.cut();
  const cutText = await doomed.text();
  const next = hub.post(CHAT, { model: "m" });
  answerJson(await worker.stream(1, 2), { ok: true });
  const { status } = await next;
  const stream = await worker.stream(1, 1);
  for (const event of [STOP, "[DONE]"]) writeEvent(stream, event);
  stream.end();

  assert.match(cutText, /"code":"worker_lost"/);
  assert.equal(status, 200);
  assert.match(await living.text(), /\[DONE\]/);
});

const SOON = { timeout: 10_000 };

test("a request whose connection is lost before its answer goes to the same worker's other one", SOON, async () => {
  await using hub = await startTestHub();
  await using line = await startLine(hub.port);
  const worker = new TwoConnections();
  await worker.connect(hub, 0, { url: line.url });
  await worker.connect(hub, 1);
  const asked = hub.post(CHAT, { model: "m" });
  await worker.stream(0, 1);

  line.cut();
  answerJson(await worker.stream(1, 1), { ok: true });

  assert.deepEqual(await (await asked).json(), { ok: true });
  const record = await hub.requests.next();
  assert.deepEqual([record.outcome, record.attempts], ["complete", 2]);
});
