import { once } from "node:events";
import type { Server } from "node:http";
import type { Duplex } from "node:stream";

import { WebSocket, WebSocketServer } from "ws";

/*
 * Peers for tests that behave as the original Go programs do, down to their quirks: written from the original's
 * description and not with the code under test. Nothing here is bounded or robust, as nothing there is.
 */

/** gorilla's write buffer: a client's message leaves in continuation frames of this size. */
const FRAGMENT_BYTES = 4096;
const MAX_PAYLOAD = 32_768;
/** smux version 1: when so much of all streams is unread, the socket is not read any more. */
const SESSION_BUCKET_BYTES = 4 * 1024 * 1024;

/** The bytes of a base64 field; none when it is absent. */
export function bytesOf(field: unknown): Buffer {
  return Buffer.from(typeof field === "string" ? field : "", "base64");
}

/** A stream of {@link GoSmux}: unbounded, as bytes. */
export class GoStream {
  readonly id: number;
  readonly #smux: GoSmux;
  #unread: Buffer = Buffer.alloc(0);
  #isEnded = false;
  #wake: (() => void) | undefined;

  constructor(smux: GoSmux, id: number) {
    this.#smux = smux;
    this.id = id;
  }

  get unreadBytes(): number {
    return this.#unread.length;
  }

  /** The next line, undefined when the peer closed the stream before one was complete. */
  async readLine(): Promise<Record<string, unknown> | undefined> {
    const pieces: Buffer[] = [];
    for (;;) {
      const end = this.#unread.indexOf(0x0a);
      // What the reader holds of a half line is read: it weighs on no bucket.
      pieces.push(this.#take(end === -1 ? this.#unread.length : end + 1));
      if (end !== -1) return JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>;
      if (this.#isEnded) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  writeLine(value: object): void {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
    for (let at = 0; at < bytes.length; at += MAX_PAYLOAD) {
      this.#smux.sendFrame(2, this.id, bytes.subarray(at, at + MAX_PAYLOAD));
    }
  }

  /** FIN, and the stream is forgotten: what the peer still sends is dropped without a word. */
  close(): void {
    this.#smux.sendFrame(1, this.id);
    this.#smux.forget(this);
  }

  onData(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    this.#wake?.();
  }

  onEnd(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  #take(bytes: number): Buffer {
    const taken = this.#unread.subarray(0, bytes);
    this.#unread = this.#unread.subarray(bytes);
    this.#smux.onRead(bytes);
    return taken;
  }
}

/** One smux version 1 session over a WebSocket. */
export class GoSmux {
  readonly socket: WebSocket;
  readonly streams = new Map<number, GoStream>();
  /** Ids of the SYNs that came. */
  readonly opened: number[] = [];
  onStream: (stream: GoStream) => void = () => {};
  readonly #fragments: boolean;
  #nextId: number;
  #received: Buffer = Buffer.alloc(0);
  #storedBytes = 0;

  constructor(socket: WebSocket, role: "client" | "server") {
    this.socket = socket;
    this.#fragments = role === "client";
    // The counter is raised before it is used.
    this.#nextId = role === "client" ? 1 : 0;
    socket.on("message", (data: Buffer, isBinary) => {
      if (isBinary) this.#receive(data);
    });
    socket.on("close", () => {
      for (const stream of this.streams.values()) stream.onEnd();
    });
    socket.on("error", () => socket.terminate());
  }

  /** The shared bucket is used up: nothing is read, also not for other streams. */
  get isStalled(): boolean {
    return this.#storedBytes >= SESSION_BUCKET_BYTES;
  }

  open(): GoStream {
    this.#nextId += 2;
    const stream = new GoStream(this, this.#nextId);
    this.streams.set(stream.id, stream);
    this.sendFrame(0, stream.id);
    return stream;
  }

  sendFrame(command: number, id: number, payload: Buffer = Buffer.alloc(0)): void {
    const header = Buffer.from([1, command, 0, 0, 0, 0, 0, 0]);
    header.writeUInt16LE(payload.length, 2);
    header.writeUInt32LE(id, 4);
    const frame = Buffer.concat([header, payload]);
    if (this.socket.readyState !== WebSocket.OPEN) return;
    if (!this.#fragments) this.socket.send(frame);
    else {
      for (let at = 0; at < frame.length; at += FRAGMENT_BYTES) {
        const isLast = at + FRAGMENT_BYTES >= frame.length;
        this.socket.send(frame.subarray(at, at + FRAGMENT_BYTES), { fin: isLast, binary: true });
      }
    }
  }

  forget(stream: GoStream): void {
    this.streams.delete(stream.id);
    this.onRead(stream.unreadBytes);
  }

  onRead(bytes: number): void {
    this.#storedBytes -= bytes;
    if (!this.isStalled) this.socket.resume();
  }

  #receive(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= 8) {
      const [version, command] = this.#received;
      const length = this.#received.readUInt16LE(2);
      const id = this.#received.readUInt32LE(4);
      if (this.#received.length < 8 + length) return;
      const payload = this.#received.subarray(8, 8 + length);
      this.#received = this.#received.subarray(8 + length);
      if (version !== 1 || command === undefined || command > 3) throw new Error("smux: invalid protocol");
      this.#onFrame(command, id, payload);
    }
  }

  #onFrame(command: number, id: number, payload: Buffer): void {
    const stream = this.streams.get(id);
    if (command === 0 && stream === undefined) {
      const opened = new GoStream(this, id);
      this.streams.set(id, opened);
      this.opened.push(id);
      this.onStream(opened);
    } else if (command === 1) stream?.onEnd();
    else if (command === 2 && stream !== undefined) {
      this.#storedBytes += payload.length;
      stream.onData(payload);
      if (this.isStalled) this.socket.pause();
    }
  }
}

/** A request as an original worker's handler gets it. */
export interface GoRequest {
  readonly line: Record<string, unknown>;
  /** The decoded body. */
  readonly body: Buffer;
  /**
   * From here on the request can be cancelled: the original enters it only when it calls its engine. Aborted by a
   * `cancel_request`, and by nothing else: not by the hub closing the stream.
   */
  track(): AbortSignal;
  /** One line of the answer, after `request_id`. Never fails, whatever became of the stream. */
  send(line: object): void;
}

export interface GoLikeWorkerOptions {
  readonly url: string;
  readonly token: string;
  readonly namespace?: string;
  readonly models?: readonly string[];
  /** Default: `Authorization: Bearer` with the token. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Default `["tokilake.v1"]`. */
  readonly protocols?: readonly string[];
  serve?(request: GoRequest): Promise<void>;
}

/** An original worker: tokiame in Go. */
export class GoLikeWorker implements Disposable {
  readonly smux: GoSmux;
  readonly control: GoStream;
  /** All that the hub said on the control stream. */
  readonly heard: Record<string, unknown>[] = [];
  readonly #options: GoLikeWorkerOptions;
  readonly #tracked = new Map<string, AbortController>();
  #onHeard: (() => void) | undefined;

  private constructor(socket: WebSocket, options: GoLikeWorkerOptions) {
    this.#options = options;
    this.smux = new GoSmux(socket, "client");
    this.smux.onStream = (stream) => void this.#serve(stream);
    this.control = this.smux.open();
    void this.#readControl();
  }

  /** Dials, and rejects when the hub refuses the upgrade. */
  static async dial(options: GoLikeWorkerOptions): Promise<GoLikeWorker> {
    const headers = options.headers ?? { Authorization: `Bearer ${options.token}` };
    const socket = new WebSocket(options.url.replace(/^http/, "ws"), [...(options.protocols ?? ["tokilake.v1"])], {
      headers,
      perMessageDeflate: false,
    });
    await once(socket, "open");
    return new GoLikeWorker(socket, options);
  }

  /** Dials, registers and syncs its models. */
  static async connect(options: GoLikeWorkerOptions): Promise<GoLikeWorker> {
    const worker = await GoLikeWorker.dial(options);
    await worker.register();
    return worker;
  }

  async register(): Promise<void> {
    const { namespace = "go-worker", models = ["m"] } = this.#options;
    const hardware = { hostname: "pc", goos: "linux", goarch: "amd64", num_cpu: 8 };
    const said = { group: "", models, hardware_info: hardware, backend_type: "openai" };
    this.control.writeLine({ type: "register", request_id: "1", register: { namespace, node_name: "pc", ...said } });
    await this.heardAbout("1");
    this.control.writeLine({ type: "models_sync", request_id: "2", models_sync: said });
    await this.heardAbout("2");
  }

  heartbeat(): void {
    this.control.writeLine({ type: "heartbeat", request_id: "hb", heartbeat: {} });
  }

  /** The hub's ack with this id. Throws what its error says. */
  async heardAbout(requestId: string): Promise<Record<string, unknown>> {
    const found = await this.until(({ request_id: id }) => id === requestId);
    if (found["type"] === "error") throw new Error(JSON.stringify(found["error"]));
    return found;
  }

  async until(predicate: (message: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    for (;;) {
      const found = this.heard.find(predicate);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => (this.#onHeard = resolve));
    }
  }

  [Symbol.dispose](): void {
    this.smux.socket.terminate();
  }

  async #readControl(): Promise<void> {
    for (;;) {
      const message = await this.control.readLine();
      if (message === undefined) return;
      if (message["type"] === "cancel_request") this.#cancel(message);
      this.heard.push(message);
      this.#onHeard?.();
    }
  }

  #cancel(message: Record<string, unknown>): void {
    const { target_request_id: id } = message["cancel_request"] as { target_request_id: string };
    const tracked = this.#tracked.get(id);
    tracked?.abort(new Error("context canceled"));
    const ack = { message: tracked === undefined ? "cancel_noop" : "cancel_ok" };
    this.control.writeLine({ type: "ack", request_id: message["request_id"], ack });
  }

  async #serve(stream: GoStream): Promise<void> {
    const line = await stream.readLine();
    if (line === undefined) {
      stream.close();
      return;
    }
    const id = String(line["request_id"]);
    const abort = new AbortController();
    const request: GoRequest = {
      line,
      body: bytesOf(line["body"]),
      track: () => {
        this.#tracked.set(id, abort);
        return abort.signal;
      },
      send: (part) => stream.writeLine({ request_id: id, ...part }),
    };
    await this.#options.serve?.(request).catch((error: unknown) => {
      request.send({ error: { code: "local_request_failed", message: String(error) } });
    });
    this.#tracked.delete(id);
    stream.close();
  }
}

/** A worker that registered at a {@link GoLikeHub}. */
export interface GoHubSession {
  readonly smux: GoSmux;
  readonly control: GoStream;
  /** What the worker said on its control stream, in order. */
  readonly said: Record<string, unknown>[];
  /** Sends one request line on a new stream. */
  ask(request: Record<string, unknown>): GoStream;
}

/** An original hub: takes upgrades of `server`, and answers on the control stream. */
export class GoLikeHub {
  readonly sessions: GoHubSession[] = [];
  /** Refuses the next registrations with this text. */
  refusal: string | undefined;
  /** False: the upgrade is answered without a subprotocol. */
  namesProtocol = true;
  readonly offered: (string | undefined)[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (names) => (this.namesProtocol && names.has("tokilake.v1") ? "tokilake.v1" : false),
  });

  constructor(server: Server) {
    server.on("upgrade", (request, socket: Duplex, head: Buffer) => {
      this.offered.push(request.headers["sec-websocket-protocol"]);
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => void this.#accept(webSocket));
    });
  }

  /** Resolves with what `find` returns, as soon as something was said that makes it so. */
  async until<T>(find: () => T | undefined): Promise<T> {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** The first worker that has synced its models. */
  registered(): Promise<GoHubSession> {
    return this.until(() => this.sessions.find(({ said }) => said.some(({ type }) => type === "models_sync")));
  }

  async #accept(webSocket: WebSocket): Promise<void> {
    const smux = new GoSmux(webSocket, "server");
    const control = await new Promise<GoStream>((resolve) => (smux.onStream = resolve));
    smux.onStream = () => {};
    const said: Record<string, unknown>[] = [];
    const ask = (request: Record<string, unknown>): GoStream => {
      const stream = smux.open();
      stream.writeLine(request);
      return stream;
    };
    this.sessions.push({ smux, control, said, ask });
    for (let message = await control.readLine(); message !== undefined; message = await control.readLine()) {
      said.push(message);
      this.#answer(control, message);
      for (const wake of this.#waiting) wake();
      this.#waiting.clear();
    }
  }

  #answer(control: GoStream, { type, request_id: requestId }: Record<string, unknown>): void {
    if (type === "ack" || type === "error") return;
    if (this.refusal !== undefined) {
      const error = { code: "register_failed", message: this.refusal };
      control.writeLine({ type: "error", request_id: requestId, error });
    } else
      control.writeLine({ type: "ack", request_id: requestId, ack: { message: `${String(type)}_ok`, worker_id: 1 } });
  }
}
