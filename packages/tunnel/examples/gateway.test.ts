import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { connectTunnel, type TunnelStream } from "../src/index.ts";
import { createGateway } from "./gateway.ts";

async function openGateway(serve: (stream: TunnelStream) => Promise<void>) {
  const { http, tunnel } = createGateway("wk-example");
  await new Promise<void>((resolve) => {
    http.listen(0, "127.0.0.1", resolve);
  });
  // A TCP server that listens has an object for its address.
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const connected = Promise.withResolvers<void>();
  const client = connectTunnel({
    url,
    token: "wk-example",
    workerId: "pc",
    software: "example/1",
    details: () => ({}),
    serve,
    onState: (state) => {
      if (state.is === "connected") connected.resolve();
    },
  });
  await connected.promise;
  return {
    url,
    async [Symbol.asyncDispose]() {
      client.close();
      tunnel.close();
      http.closeAllConnections();
      await new Promise((resolve) => {
        http.close(resolve);
      });
    },
  };
}

async function bodyOf(stream: TunnelStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream.body) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

test("an HTTP request reaches the worker and its answer comes back as it was", async () => {
  await using gateway = await openGateway(async (stream) => {
    const text = await bodyOf(stream);
    stream.respond({ status: 201, headers: [["content-type", "text/plain"]] });
    stream.write(Buffer.from(`${stream.opening.method} ${stream.opening.path}?${stream.opening.query} ${text}`));
    stream.end();
  });

  const response = await fetch(`${gateway.url}/v1/x?a=1`, { method: "POST", body: "hello" });

  assert.equal(response.status, 201);
  assert.equal(await response.text(), "POST /v1/x?a=1 hello");
});

test("an answer that breaks in the middle never looks complete", async () => {
  await using gateway = await openGateway(async (stream) => {
    stream.respond({ status: 200, headers: [] });
    stream.write(Buffer.from("half"));
    await new Promise(setImmediate);
    stream.reset("target-reset");
  });

  const response = await fetch(`${gateway.url}/`);

  await assert.rejects(response.text());
});

test("a client that goes away aborts the worker's work", async () => {
  const aborted = Promise.withResolvers<string>();
  await using gateway = await openGateway(async (stream) => {
    stream.signal.addEventListener("abort", () => aborted.resolve(String(stream.signal.reason)));
    stream.respond({ status: 200, headers: [] });
    stream.write(Buffer.from("first"));
  });
  const leaving = new AbortController();
  const response = await fetch(`${gateway.url}/`, { signal: leaving.signal });

  leaving.abort();

  await assert.rejects(response.text());
  assert.equal(await aborted.promise, "TunnelError: cancelled");
});

test("without a worker's head the client gets an error in JSON", async () => {
  await using gateway = await openGateway(async (stream) => stream.reset("target-unreachable", { retrySafe: true }));

  const response = await fetch(`${gateway.url}/`);

  assert.equal(response.status, 502);
  assert.deepEqual(await response.json(), {
    error: {
      message: "the worker failed: target-unreachable",
      type: "server_error",
      code: "target-unreachable",
    },
  });
});
