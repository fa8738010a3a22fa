import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import {
  connectTunnel,
  createTunnelServer,
  type LinkState,
  type StreamOpening,
  type TunnelClient,
  type TunnelClientOptions,
  type TunnelError,
  TunnelRefusal,
  type TunnelServer,
  type TunnelServerOptions,
  type TunnelSession,
  type TunnelStream,
} from "./index.ts";

const OPENING: StreamOpening = {
  requestId: "req_1",
  target: "default",
  method: "POST",
  path: "/v1/chat/completions",
  query: "",
  headers: [["content-type", "application/json"]],
  priority: "interactive",
};

/** Lets a test wait until a list of things that happened satisfies it. No sleeping. */
class Journal<T> {
  readonly items: T[] = [];
  readonly #waiting = new Set<() => void>();

  add(item: T): void {
    this.items.push(item);
    for (const check of this.#waiting) check();
  }

  until<U extends T>(predicate: (item: T) => item is U): Promise<U>;
  until(predicate: (item: T) => boolean): Promise<T>;
  until(predicate: (item: T) => boolean): Promise<T> {
    return new Promise((resolve) => {
      const check = (): void => {
        const found = this.items.find(predicate);
        if (found === undefined) return;
        this.#waiting.delete(check);
        resolve(found);
      };
      this.#waiting.add(check);
      check();
    });
  }
}

class Hub implements AsyncDisposable {
  readonly http: Server;
  readonly tunnel: TunnelServer<string>;
  readonly sessions = new Journal<TunnelSession<string>>();
  readonly updates = new Journal<unknown>();
  readonly closed = new Journal<{ session: TunnelSession<string>; reason: TunnelError }>();

  constructor(options: Partial<TunnelServerOptions<string>> = {}) {
    this.tunnel = createTunnelServer<string>({
      hubId: "hub-1",
      authenticate: (bearer) => {
        if (bearer !== "wk-good") throw new TunnelRefusal({ status: 401, code: "bad-key", message: "unknown key" });
        return "alice";
      },
      register: () => {},
      onSession: (session) => this.sessions.add(session),
      onUpdate: (_session, details) => this.updates.add(details),
      onClose: (session, reason) => this.closed.add({ session, reason }),
      ...options,
    });
    this.http = createServer();
    this.http.on("upgrade", (request, socket, head) => this.tunnel.handleUpgrade(request, socket, head));
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => {
      this.http.listen(0, "127.0.0.1", resolve);
    });
    return this;
  }

  get url(): string {
    // A TCP server that listens has an object for its address.
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.tunnel.close();
    this.http.closeAllConnections();
    await new Promise((resolve) => {
      this.http.close(resolve);
    });
  }
}

class Worker implements Disposable {
  readonly client: TunnelClient;
  readonly states = new Journal<LinkState>();

  constructor(hub: { url: string }, options: Partial<TunnelClientOptions> = {}) {
    this.client = connectTunnel({
      url: hub.url,
      token: "wk-good",
      workerId: "pc",
      software: "test/1",
      details: () => ({ kind: "models" }),
      serve: echo,
      onState: (state) => this.states.add(state),
      ...options,
    });
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

async function echo(stream: TunnelStream): Promise<void> {
  stream.respond({ status: 200, headers: [["content-type", "text/plain"]] });
  for await (const chunk of stream.body) {
    if (!stream.write(chunk)) await stream.drained();
  }
  stream.end({ engine: "echo" });
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

test("a request goes through the tunnel and its answer comes back with trailers", async () => {
  await using hub = await new Hub().listen();
  using _worker = new Worker(hub);
  const session = await hub.sessions.until(() => true);

  const stream = session.open(OPENING);
  stream.write(Buffer.from("hello"));
  stream.end();

  const head = await stream.head;
  assert.equal(head.status, 200);
  assert.deepEqual(head.headers, [["content-type", "text/plain"]]);
  assert.equal(await textOf(stream.body), "hello");
  assert.deepEqual(stream.trailers, { engine: "echo" });
  assert.equal(session.streamCount, 0);
  assert.deepEqual(session.registration.details, { kind: "models" });
});

test("ten megabytes go through in both directions unchanged", async () => {
  await using hub = await new Hub().listen();
  using _worker = new Worker(hub);
  const session = await hub.sessions.until(() => true);
  const stream = session.open({ ...OPENING, priority: "bulk" });
  const piece = Buffer.alloc(100_000, "abcdefghij");

  const writing = (async () => {
    for (let count = 0; count < 100; count++) if (!stream.write(piece)) await stream.drained();
    stream.end();
  })();
  let bytes = 0;
  for await (const chunk of stream.body) {
    assert.equal(chunk[0], 97 + (bytes % 10));
    bytes += chunk.length;
  }
  await writing;

  assert.equal(bytes, 10_000_000);
});

test("a key the hub does not know is answered with 401 before the 101, and failFast stops the worker", async () => {
  await using hub = await new Hub().listen();
  using worker = new Worker(hub, { token: "wk-bad", failFast: true });

  const stopped = await worker.states.until((state) => state.is === "stopped");

  assert.deepEqual(stopped, { is: "stopped", reason: "refused", code: "auth", message: "unknown key" });
});
