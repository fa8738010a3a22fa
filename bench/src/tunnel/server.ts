// The server under test, in one process: a small HTTP gateway on the tunnel, or what it is compared with: the same server
// that answers by itself. Its argument is "v2", "v1" or "direct". Prints its port. Ends with its standard input.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { createTunnelServer, type TunnelSession } from "@tokilake/tunnel";

import { answer, type AnswerRequest, type AnswerSink, headersOf } from "./answers.ts";

const [mode = "v2"] = process.argv.slice(2);
const sessions: TunnelSession<null>[] = [];
let turn = 0;
let requests = 0;

const tunnel = createTunnelServer<null>({
  hubId: "bench",
  authenticate: () => null,
  register: () => {},
  onSession: (session) => sessions.push(session),
  onUpdate: () => {},
  onClose: (session, reason) => {
    sessions.splice(sessions.indexOf(session), 1);
    process.stderr.write(`A session ended: ${reason.message}\n`);
  },
});

const http = createServer((request, response) => {
  if (mode === "direct") serve(request, response);
  else relay(request, response).catch(() => response.destroy());
});
http.on("upgrade", (request, socket, head) => {
  // The server takes version 2 where it is offered; so it is not.
  if (mode === "v1") request.headers["sec-websocket-protocol"] = "tokilake.v1";
  tunnel.handleUpgrade(request, socket, head);
});
http.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  const { port } = http.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ port })}\n`);
});
// Not a signal's default: a CPU profile is written at an orderly end.
process.on("SIGTERM", () => process.exit(0));
process.stdin.on("end", () => process.exit(0)).resume();

/** Each in turn: an embedding program would look for the least busy one. */
function nextSession(): TunnelSession<null> {
  turn += 1;
  const session = sessions[turn % sessions.length];
  if (session === undefined) throw new Error("No worker is connected.");
  return session;
}

async function relay(request: IncomingMessage, response: ServerResponse) {
  requests += 1;
  const stream = nextSession().open({
    requestId: `r${requests}`,
    target: "bench",
    method: "POST",
    path: "/v1/chat/completions",
    query: "",
    headers: [["content-type", "application/json"]],
    bodyLength: Number(request.headers["content-length"] ?? 0),
    model: "bench",
    priority: "interactive",
  });
  response.on("close", () => stream.reset("cancelled"));
  request.on("data", (piece: Buffer) => stream.write(piece));
  request.on("end", () => stream.end());
  const { status, headers } = await stream.head;
  response.writeHead(status, headers.flat());
  for await (const chunk of stream.body) {
    if (!response.write(chunk)) await drained(response);
  }
  response.end();
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  const pieces: Buffer[] = [];
  request.on("data", (piece: Buffer) => pieces.push(piece));
  request.on("end", () => {
    const [first] = pieces;
    const body = first !== undefined && pieces.length === 1 ? first : Buffer.concat(pieces);
    // Written by answerBody, of the same version as this program.
    const asked = JSON.parse(body.toString()) as AnswerRequest;
    response.writeHead(200, headersOf(asked).flat());
    answer(asked, new ResponseSink(response));
  });
}

class ResponseSink implements AnswerSink {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  get isOver(): boolean {
    return this.#response.closed;
  }

  write(bytes: Uint8Array): boolean {
    return this.#response.write(bytes);
  }

  drained(): Promise<void> {
    return drained(this.#response);
  }

  end(): void {
    this.#response.end();
  }
}

/** Also when it is closed: what is written then goes nowhere. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.once("drain", done).once("close", done);
  });
}
