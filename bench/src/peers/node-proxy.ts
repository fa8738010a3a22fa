// The plainest proxy that Node allows: node:http in front, undici behind, bytes passed on. No keys, no log, no tunnel.
// Usage: node node-proxy.ts PORT UPSTREAM_URL
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

import { type Dispatcher, Pool } from "undici";

const [port = "0", upstream = ""] = process.argv.slice(2);
const pool = new Pool(upstream, { connections: 10_000, headersTimeout: 0, bodyTimeout: 0 });

/** Of one connection, or made anew for the next one. */
const NOT_PASSED_ON = new Set(["connection", "keep-alive", "transfer-encoding", "host", "content-length"]);

createServer((request, response) => {
  const pieces: Buffer[] = [];
  request.on("data", (piece: Buffer) => pieces.push(piece));
  request.on("end", () => forward(request, pieces, response));
}).listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });

function forward(request: IncomingMessage, pieces: readonly Buffer[], response: ServerResponse): void {
  const { rawHeaders } = request;
  const headers: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (!NOT_PASSED_ON.has(name.toLowerCase())) headers.push(name, rawHeaders[at + 1] ?? "");
  }
  pool.dispatch(
    {
      method: request.method as Dispatcher.HttpMethod,
      path: request.url ?? "/",
      headers,
      body: pieces.length === 1 ? (pieces[0] ?? null) : Buffer.concat(pieces),
    },
    new Answer(response),
  );
}

/** Passes an upstream's answer to the client, no faster than it takes it, and stops the upstream when it is gone. */
class Answer implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#response.on("drain", () => controller.resume());
    this.#response.on("close", () => {
      if (!this.#response.writableFinished) controller.abort(new Error("The client is gone."));
    });
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    const { connection: _connection, "keep-alive": _keepAlive, "transfer-encoding": _encoding, ...passed } = headers;
    this.#response.writeHead(status, passed);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#response.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.#response.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (!this.#response.headersSent) this.#response.writeHead(502).end(error.message);
    else this.#response.destroy();
  }
}
