import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { type RawData, WebSocket } from "ws";

import packageJson from "../package.json" with { type: "json" };
import { announcementOf, answerJson, startTestHub, type TestHub } from "./test-hub.ts";

const CHAT = "/v1/chat/completions";
/** docs/protocol.md, "Frames". */
const TYPES = { hello: 1, open: 2, head: 3, trailers: 5, control: 11 } as const;
const END = 1;

interface Frame {
  readonly type: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

interface RawWorkerOptions {
  readonly name: string;
  /** With each stream that the hub opens. */
  readonly onOpen: (streamId: number, worker: RawWorker) => void;
}

/** A worker that keeps no rule of its own: it sends the frames that a test makes. */
class RawWorker {
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** Registers with the model "m". Resolves with the hub's HELLO, when the hub knows the worker. */
  static async connect(hub: TestHub, { name, onOpen }: RawWorkerOptions): Promise<Readonly<Record<string, unknown>>> {
    const headers = { authorization: "Bearer wk-raw" };
    const socket = new WebSocket(`${hub.url}/api/tokilake/connect`, "tokilake.v2", { headers });
    const worker = new RawWorker(socket);
    const hello = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    const registered = Promise.withResolvers<void>();
    socket.on("message", (message) => {
      for (const { type, streamId, payload } of framesOf(message)) {
        if (type === TYPES.hello) hello.resolve(JSON.parse(payload.toString()) as Readonly<Record<string, unknown>>);
        if (type === TYPES.open) onOpen(streamId, worker);
        if (type === TYPES.control) registered.resolve();
      }
    });
    await once(socket, "open");
    worker.send(TYPES.hello, 0, { v: 2, role: "worker", sw: "raw/1", win: 262_144, streams: 256, caps: [] });
    const details = announcementOf({});
    worker.send(TYPES.control, 0, {
      type: "register",
      workerId: name,
      instanceId: name,
      slot: 0,
      software: "raw/1",
      details,
    });
    await registered.promise;
    return hello.promise;
  }

  send(type: number, streamId: number, json: unknown, flags = 0): void {
    const payload = Buffer.from(JSON.stringify(json));
    const header = Buffer.alloc(8);
    header.writeUInt8(type, 0);
    header.writeUInt8(flags, 1);
    header.writeUInt16BE(payload.length, 2);
    header.writeUInt32BE(streamId, 4);
    this.#socket.send(Buffer.concat([header, payload]));
  }
}

function* framesOf(message: RawData): Generator<Frame> {
  // A whole message of `ws` is a Buffer, unless another type was asked for.
  const bytes = message as Buffer;
  for (let at = 0; at < bytes.length;) {
    const end = at + 8 + bytes.readUInt16BE(at + 2);
    yield { type: bytes.readUInt8(at), streamId: bytes.readUInt32BE(at + 4), payload: bytes.subarray(at + 8, end) };
    at = end;
  }
}

const JSON_TYPE = ["content-type", "application/json"];

const TOO_LARGE: Readonly<Record<string, RawWorkerOptions["onOpen"]>> = {
  "a head of 129 headers": (id, worker) =>
    worker.send(TYPES.head, id, { s: 200, h: Array.from({ length: 129 }, () => ["a", "b"]) }),
  "a header above 16 KiB": (id, worker) => worker.send(TYPES.head, id, { s: 200, h: [["a", "b".repeat(16_385)]] }),
  "trailers above 16 KiB": (id, worker) => {
    worker.send(TYPES.head, id, { s: 200, h: [JSON_TYPE] });
    worker.send(TYPES.trailers, id, { a: "b".repeat(16_385) }, END);
  },
};

for (const [what, onOpen] of Object.entries(TOO_LARGE)) {
  test(`${what} is the worker's fault: another one is asked, and without one it is 502`, async () => {
    await using hub = await startTestHub();
    await RawWorker.connect(hub, { name: "raw", onOpen });

    const alone = await hub.post(CHAT, { model: "m" });
    const { error } = (await alone.json()) as { error: { code: string } };
    await hub.connect((stream) => answerJson(stream, { ok: true }), { name: "good" });
    const hidden = await hub.post(CHAT, { model: "m" });

    assert.deepEqual([alone.status, error.code], [502, "upstream_error"]);
    assert.deepEqual(await hidden.json(), { ok: true });
    await hub.requests.next();
    assert.deepEqual((await hub.requests.next()).attempts, 2);
  });
}

test("a body that a worker's owner finds too large is the client's fault, and asked once", async () => {
  await using hub = await startTestHub();
  for (const name of ["a", "b"]) await hub.connect((stream) => stream.reset("too-large"), { name });

  const response = await hub.post(CHAT, { model: "m" });

  assert.equal(response.status, 413);
  assert.equal((await hub.requests.next()).attempts, 1);
});

const NOT_OF_THE_CLIENT = {
  "slow-consumer": [504, "upstream_timeout"],
  quota: [502, "tunnel_protocol"],
} as const;

for (const code of ["slow-consumer", "quota"] as const) {
  test(`a worker that says "${code}" does not speak of the client: another one is asked, and alone it is its failure`, async () => {
    await using hub = await startTestHub();
    await hub.connect((stream) => stream.reset(code), { name: "a" });

    const alone = await hub.post(CHAT, { model: "m" });
    const { error } = (await alone.json()) as { error: { code: string } };
    await hub.connect((stream) => answerJson(stream, { ok: true }), { name: "good" });
    const hidden = await hub.post(CHAT, { model: "m" });

    assert.deepEqual([alone.status, error.code], NOT_OF_THE_CLIENT[code]);
    assert.deepEqual(await hidden.json(), { ok: true });
    assert.equal((await hub.requests.next()).outcome, "failed");
  });
}

const MISLEADING = {
  "half a character": "pc\ud800",
  "a sign that turns": "pc\u202e",
  "a control": "pc\u0085",
  "a blank": "pc ",
};

for (const [what, name] of Object.entries(MISLEADING)) {
  test(`a worker with ${what} in its name is sent away: no log and no header could show it`, async () => {
    await using hub = await startTestHub();

    await assert.rejects(
      hub.connect(() => undefined, { name }),
      /^Error: refused:bad-name: .*namespace/,
    );
  });
}

test("a worker is told which software the hub is, and its id", async () => {
  await using hub = await startTestHub();

  const { role, sw, hub: id } = await RawWorker.connect(hub, { name: "raw", onOpen: () => undefined });

  assert.equal(role, "hub");
  assert.equal(sw, `tokilake/${packageJson.version}`);
  assert.match(String(id), /^hub-/);
});
