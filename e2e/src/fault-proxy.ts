import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Bytes of one direction of one connection that wait in the proxy. Beyond it nothing is read, so the sender waits too. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** With a bandwidth, so much of a second is written at once: small enough that the pace is even. */
const PACE_SECONDS = 0.01;

/** What happens to the bytes of one direction. All fields are optional; an empty object is a good line. */
export interface Faults {
  /** Each piece arrives so much later. */
  readonly delayMs?: number;
  /** Anything up to this passes between two pieces. The order of a TCP stream stays, only the timing is uneven. */
  readonly jitterMs?: number;
  readonly bytesPerSecond?: number;
  /** Written in pieces of this size, each in a segment of its own. */
  readonly pieceBytes?: number;
  /** So many bytes of each connection after this was set pass, then both its ends are closed ("end") or reset. */
  readonly cut?: { readonly afterBytes: number; readonly how: "end" | "reset" };
  /**
   * "pause": nothing is read, the sender's kernel fills up. "swallow": everything is read, acknowledged and thrown away,
   * the end of the connection too, as a relay does whose other side is gone.
   */
  readonly stop?: "pause" | "swallow";
}

export interface FaultProxyOptions {
  /** Where connections go. */
  readonly port: number;
  readonly host?: string;
  /** Where it listens; default: any free port of 127.0.0.1. */
  readonly listenPort?: number;
  readonly listenHost?: string;
}

export type Direction = "up" | "down";

/**
 * A TCP line that can be made bad at run time. "up" is from the end that dials to the end that listens, "down" the way
 * back. Faults are those of all connections, also of those that are open.
 */
export class FaultProxy implements AsyncDisposable {
  readonly #options: FaultProxyOptions;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #faults: Record<Direction, Faults> = { up: {}, down: {} };
  #isDown = false;
  #accepted = 0;

  private constructor(options: FaultProxyOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#onConnection(socket));
  }

  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    proxy.#server.listen(options.listenPort ?? 0, options.listenHost ?? "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    // A server that listens on a port has no other kind of address.
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://${this.#options.listenHost ?? "127.0.0.1"}:${this.port}`;
  }

  /** Open now. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Accepted since the start, those that were refused while it was down not counted. */
  get acceptedCount(): number {
    return this.#accepted;
  }

  /** From now on the directions that are named are so, and all connections with them. `{}` makes one good again. */
  set(faults: Partial<Record<Direction, Faults>>): void {
    this.#faults = { ...this.#faults, ...faults };
    for (const connection of this.#connections) connection.set(this.#faults);
  }

  /** Makes the connections that are open now so, for good; later ones have the proxy's own faults. */
  abandon(faults: Partial<Record<Direction, Faults>>): void {
    for (const connection of this.#connections) connection.abandon({ ...this.#faults, ...faults });
  }

  /** Both ends of every connection get a RST. */
  reset(): void {
    for (const connection of this.#connections) connection.close("reset");
  }

  /** While it is down new connections are reset at once. Open ones stay: see `reset`. */
  setDown(isDown: boolean): void {
    this.#isDown = isDown;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.reset();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, "close");
  }

  #onConnection(socket: Socket): void {
    if (this.#isDown) {
      socket.on("error", () => {});
      reset(socket);
      return;
    }
    this.#accepted += 1;
    const { port, host = "127.0.0.1" } = this.#options;
    const upstream = connect({ port, host, allowHalfOpen: true, noDelay: true });
    const connection = new Connection(socket, upstream, this.#faults);
    this.#connections.add(connection);
    connection.onClosed = () => this.#connections.delete(connection);
  }
}

/** One connection through the proxy: two sockets and a direction each way. */
class Connection {
  onClosed: () => void = () => {};
  readonly #sockets: readonly [Socket, Socket];
  readonly #up: Pipe;
  readonly #down: Pipe;
  #isAbandoned = false;

  constructor(dialing: Socket, listening: Socket, faults: Readonly<Record<Direction, Faults>>) {
    this.#sockets = [dialing, listening];
    const close = (how: "end" | "reset") => this.close(how);
    this.#up = new Pipe(dialing, listening, close);
    this.#down = new Pipe(listening, dialing, close);
    for (const socket of this.#sockets) socket.on("close", () => this.#onSocketClosed());
    this.set(faults);
  }

  set(faults: Readonly<Record<Direction, Faults>>): void {
    if (this.#isAbandoned) return;
    this.#up.set(faults.up);
    this.#down.set(faults.down);
  }

  abandon(faults: Readonly<Record<Direction, Faults>>): void {
    this.set(faults);
    this.#isAbandoned = true;
  }

  close(how: "end" | "reset"): void {
    for (const socket of this.#sockets) {
      if (how === "reset") reset(socket);
      else socket.destroySoon();
    }
  }

  #onSocketClosed(): void {
    if (this.#sockets.every((socket) => socket.closed)) this.onClosed();
  }
}

interface Piece {
  readonly bytes: Buffer;
  readonly dueMs: number;
}

/** One direction of one connection. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #close: (how: "end" | "reset") => void;
  #faults: Faults = {};
  #passedBytes = 0;
  readonly #waiting: Piece[] = [];
  #waitingBytes = 0;
  #lastDueMs = 0;
  #freeAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isBlocked = false;
  #hasEnded = false;

  constructor(from: Socket, to: Socket, close: (how: "end" | "reset") => void) {
    this.#from = from;
    this.#to = to;
    this.#close = close;
    from.on("data", (bytes: Buffer) => this.#onData(bytes));
    from.on("end", () => this.#onEnd());
    // An error is told to the other end as what it is; in a direction that swallows, nothing is.
    from.on("error", () => {
      if (this.#faults.stop !== "swallow") reset(to);
    });
    from.on("close", () => this.#onEnd());
    to.on("drain", () => {
      this.#isBlocked = false;
      this.#run();
    });
    to.on("close", () => clearTimeout(this.#timer));
  }

  set(faults: Faults): void {
    if (faults !== this.#faults) this.#passedBytes = 0;
    this.#faults = faults;
    if (faults.stop === "swallow") {
      this.#waiting.length = 0;
      this.#waitingBytes = 0;
    }
    this.#readOrWait();
    this.#run();
  }

  #onData(bytes: Buffer): void {
    const { stop, delayMs = 0, jitterMs = 0 } = this.#faults;
    if (stop === "swallow") return;
    for (const piece of this.#piecesOf(bytes)) {
      this.#lastDueMs = Math.max(this.#lastDueMs, performance.now() + delayMs) + Math.random() * jitterMs;
      this.#waiting.push({ bytes: piece, dueMs: this.#lastDueMs });
    }
    this.#waitingBytes += bytes.length;
    this.#readOrWait();
    this.#run();
  }

  #onEnd(): void {
    if (this.#faults.stop === "swallow") return;
    this.#hasEnded = true;
    this.#run();
  }

  #readOrWait(): void {
    if (this.#faults.stop === "pause" || this.#waitingBytes >= MAX_WAITING_BYTES) this.#from.pause();
    else this.#from.resume();
  }

  #piecesOf(bytes: Buffer): Buffer[] {
    const { pieceBytes = Infinity, bytesPerSecond = Infinity } = this.#faults;
    const size = Math.max(1, Math.min(bytes.length, pieceBytes, Math.ceil(bytesPerSecond * PACE_SECONDS)));
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
    return pieces;
  }

  /** Writes what is due, as far as line and receiver take it. */
  #run(): void {
    clearTimeout(this.#timer);
    while (!this.#isBlocked && this.#faults.stop === undefined) {
      const [piece] = this.#waiting;
      if (piece === undefined) {
        if (this.#hasEnded) this.#to.end();
        return;
      }
      const waitMs = Math.max(piece.dueMs, this.#freeAtMs) - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#run(), waitMs);
        return;
      }
      this.#waiting.shift();
      this.#waitingBytes -= piece.bytes.length;
      if (!this.#pass(piece.bytes)) return;
      this.#readOrWait();
    }
  }

  /** False: the connection is cut here. */
  #pass(bytes: Buffer): boolean {
    const { cut, bytesPerSecond } = this.#faults;
    const left = cut === undefined ? Infinity : cut.afterBytes - this.#passedBytes;
    const now = performance.now();
    if (bytesPerSecond !== undefined) {
      this.#freeAtMs = Math.max(now, this.#freeAtMs) + (bytes.length / bytesPerSecond) * 1000;
    }
    const passing = bytes.length > left ? bytes.subarray(0, left) : bytes;
    this.#passedBytes += passing.length;
    if (this.#to.writable && passing.length > 0 && !this.#to.write(passing)) this.#isBlocked = true;
    if (cut === undefined || bytes.length < left) return true;
    if (cut.how === "end") {
      this.#close("end");
      return false;
    }
    // The last bytes leave first: a reset throws away what the kernel has not sent.
    this.#to.write("", () => this.#close("reset"));
    return false;
  }
}

/**
 * Sends a RST, or closes what is ending already. Resetting such a socket loses its handle, and then the process never exits
 * (seen with Node 24.21: libuv refuses to reset what is being shut down, and Node takes it for closed).
 */
function reset(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished;
  if (isEnding) socket.destroy();
  else socket.resetAndDestroy();
}
