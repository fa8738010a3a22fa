import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test } from "node:test";

import { type WebSocket, WebSocketServer } from "ws";

import type { TunnelError } from "../tunnel-error.ts";
import { WEBSOCKET_OPTIONS, WebSocketCarrier } from "./websocket-carrier.ts";

/** Frames of a client that never goes, its mask all zero (RFC 6455 §5.2). */
const FRAMES = {
  text: Buffer.from([0x81, 0x80, 0, 0, 0, 0]),
  unknown: Buffer.from([0x83, 0x80, 0, 0, 0, 0]),
  close: Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]),
} as const;

/** A carrier whose peer is a bare socket: it answers no close, and does not close either. */
class Line implements AsyncDisposable {
  readonly peer: Socket;
  readonly carrier: WebSocketCarrier;
  /** Why it was closed, first. */
  readonly closed: Promise<TunnelError>;
  readonly #server: WebSocketServer;

  private constructor(server: WebSocketServer, peer: Socket, socket: WebSocket) {
    this.#server = server;
    this.peer = peer;
    const closed = Promise.withResolvers<TunnelError>();
    this.closed = closed.promise;
    this.carrier = new WebSocketCarrier(socket, { onMessage: () => undefined, onClose: closed.resolve });
  }

  static async open(): Promise<Line> {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1", ...WEBSOCKET_OPTIONS });
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const peer = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const key = "AAAAAAAAAAAAAAAAAAAAAA==";
    peer.write(
      `GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
    );
    const [socket] = (await once(server, "connection")) as [WebSocket];
    await once(peer, "data");
    return new Line(server, peer, socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.peer.destroy();
    for (const client of this.#server.clients) client.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

for (const [what, code] of [
  ["text", 1003],
  ["unknown", 1002],
] as const) {
  test(`a peer that sends a frame of kind "${what}" is told ${code} and counts as gone at once, though it stays`, async () => {
    await using line = await Line.open();
    const startedMs = performance.now();
    line.peer.write(FRAMES[what]);
    const [goodbye] = (await once(line.peer, "data")) as [Buffer];
    const error = await line.closed;
    line.carrier.destroy();

    assert.equal(error.code, "worker-lost");
    assert.equal(goodbye.readUInt16BE(2), code);
    assert.ok(performance.now() - startedMs < 1_000);
  });
}

test("a peer that closes and stays counts as gone with the next message to it", async () => {
  await using line = await Line.open();
  line.peer.write(FRAMES.close);
  const [answer] = (await once(line.peer, "data")) as [Buffer];
  let isSent = false;
  line.carrier.send(Buffer.from("hello"), () => (isSent = true));
  const error = await line.closed;

  assert.deepEqual(
    [answer.readUInt16BE(2), error.code, error.detail],
    [1000, "worker-lost", "the peer is closing the connection"],
  );
  assert.equal(isSent, true);
});
