import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";

import type { ServedModel } from "../engines/engine.ts";
import { RELAY_ROUTES } from "../targets/routes.ts";
import { Target, type TargetSettings } from "../targets/target.ts";

/** An HTTP server on a free loopback port, for tests. Disposing cuts its connections. */
export async function startServer(listener: RequestListener): Promise<AsyncDisposable & { url: URL; server: Server }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    server,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface TestEngine extends AsyncDisposable {
  readonly target: Target;
  readonly url: URL;
  /** Settles with the next request that the engine gets. */
  asked(): Promise<{ request: IncomingMessage; response: ServerResponse }>;
}

/** An engine whose answers the test gives itself, behind a target named "t" that serves the model "m". */
export async function startTestEngine(
  settings: Partial<TargetSettings> = {},
  models: readonly ServedModel[] = [{ id: "m", upstream: "m" }],
): Promise<TestEngine> {
  const arrived: { request: IncomingMessage; response: ServerResponse }[] = [];
  const waiting: ((exchange: { request: IncomingMessage; response: ServerResponse }) => void)[] = [];
  const engine = await startServer((request, response) => {
    const take = waiting.shift();
    if (take === undefined) arrived.push({ request, response });
    else take({ request, response });
  });
  const target = testTarget(engine.url, settings, models);
  return {
    target,
    url: engine.url,
    asked: () => {
      const exchange = arrived.shift();
      return exchange === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(exchange);
    },
    async [Symbol.asyncDispose]() {
      await target.dispatcher.destroy();
      await engine[Symbol.asyncDispose]();
    },
  };
}

export function testTarget(
  baseUrl: URL,
  settings: Partial<TargetSettings> = {},
  models: readonly ServedModel[] = [{ id: "m", upstream: "m" }],
): Target {
  const target = new Target(
    {
      name: "t",
      engine: "openai",
      baseUrl,
      headers: {},
      apiKeys: [],
      routes: RELAY_ROUTES,
      maxBodyBytes: 1024 * 1024 * 1024,
      ...settings,
    },
    () => performance.now(),
  );
  target.setModels(models);
  return target;
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}
