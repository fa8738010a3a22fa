import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { finished } from "node:stream/promises";

import {
  createTunnelServer,
  type HeaderPairs,
  TunnelError,
  TunnelRefusal,
  type TunnelServer,
  type TunnelSession,
  type TunnelStream,
} from "../src/index.ts";

// A whole gateway on top of the tunnel: workers dial in with a token, HTTP requests go to any of them.

const FORWARDED = new Set(["content-type", "accept", "user-agent"]);
const RETURNED = new Set(["content-type", "cache-control", "retry-after"]);

export function createGateway(workerToken: string): { http: Server; tunnel: TunnelServer<string> } {
  const tunnel = createTunnelServer<string>({
    hubId: "example",
    authenticate: (bearer) => {
      if (bearer === workerToken) return "somebody";
      throw new TunnelRefusal({ status: 401, code: "bad-key", message: "unknown worker key" });
    },
    register: () => {},
    onSession: () => {},
    onUpdate: () => {},
    onClose: () => {},
  });
  const http = createServer((request, response) => {
    relay(pick(tunnel), request, response).catch((error: unknown) => fail(response, error));
  });
  http.on("upgrade", (request, socket, head) => tunnel.handleUpgrade(request, socket, head));
  return { http, tunnel };
}

/** The worker with the fewest requests. */
function pick(tunnel: TunnelServer<string>): TunnelSession<string> {
  const [best] = [...tunnel.sessions].filter((s) => s.isAccepting).sort((a, b) => a.streamCount - b.streamCount);
  if (best === undefined) throw new TunnelError("refused", { message: "no worker" });
  return best;
}

async function relay(session: TunnelSession<string>, request: IncomingMessage, response: ServerResponse) {
  const { pathname, search } = new URL(request.url ?? "/", "http://gateway");
  const stream = session.open({
    requestId: crypto.randomUUID(),
    target: "default",
    method: request.method ?? "GET",
    path: pathname,
    query: search.slice(1),
    headers: pairs(request.headers, FORWARDED),
    priority: "interactive",
  });
  // A client that goes away frees the worker at once. After the answer's end this does nothing.
  response.on("close", () => stream.reset("cancelled"));
  upload(request, stream).catch(() => stream.reset("cancelled"));
  const head = await stream.head;
  response.writeHead(head.status, Object.fromEntries(head.headers.filter(([name]) => RETURNED.has(name))));
  response.flushHeaders();
  for await (const chunk of stream.body) {
    if (!response.write(chunk)) await drainOf(response);
  }
  response.end();
  await finished(response);
}

async function upload(request: IncomingMessage, stream: TunnelStream): Promise<void> {
  for await (const chunk of request) {
    if (!stream.write(chunk)) await stream.drained();
  }
  stream.end();
}

function drainOf(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once("drain", resolve).once("close", resolve);
  });
}

function pairs(headers: IncomingMessage["headers"], allowed: ReadonlySet<string>): HeaderPairs {
  return Object.entries(headers).flatMap(([name, value]) =>
    allowed.has(name) && typeof value === "string" ? [[name, value] as const] : [],
  );
}

/** Before the head: an error the client can read. After it: a broken connection, never a clean end. */
function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const code = error instanceof TunnelError ? error.code : "internal";
  const body = JSON.stringify({ error: { message: `the worker failed: ${code}`, type: "server_error", code } });
  response.writeHead(502, { "content-type": "application/json" }).end(body);
}
