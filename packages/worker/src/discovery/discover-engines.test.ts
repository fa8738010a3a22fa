import assert from "node:assert/strict";
import { test } from "node:test";

import { openProbeDispatcher } from "../engines/probe.ts";
import { startServer } from "../serving/test-engine.ts";
import { DiscoveredTargets } from "../targets/discovered-targets.ts";
import { candidatePorts, ollamaPort } from "./candidate-ports.ts";
import { discoverEngines } from "./discover-engines.ts";
import { portsOf } from "./listening-ports.ts";

const NOTHING = { only: undefined, ollamaHost: undefined, listening: [], gatewayUrl: undefined };

test("the owner's Ollama port comes first, the hub's own ports never", () => {
  const ports = candidatePorts({
    ...NOTHING,
    ollamaHost: "0.0.0.0:7777",
    listening: [19981, 40000, 8000, 5555],
    gatewayUrl: new URL("ws://localhost:5555"),
  });

  assert.deepEqual(ports.slice(0, 3), [7777, 11434, 8000]);
  assert.deepEqual(ports.slice(-2), [13305, 40000]);
});

test("the owner's list of ports is the whole list", () => {
  assert.deepEqual(candidatePorts({ ...NOTHING, only: [1, 2, 2, 19981], listening: [3] }), [1, 2]);
});

for (const [value, port] of [
  [undefined, undefined],
  ["", undefined],
  ["127.0.0.1", 11434],
  [":8888", 8888],
  ["http://localhost:9", 9],
  ["[::1]:10", 10],
  ["192.168.1.5:11434", undefined],
  ["localhost:99999", undefined],
  ["http://a/b", undefined],
] as const) {
  test(`OLLAMA_HOST ${value} means port ${port} of this machine`, () => {
    assert.equal(ollamaPort(value), port);
  });
}

test("only this user's sockets that listen on loopback are looked at", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2CEC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1
   1: 0100007F:2CED 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 3 1
   3: 0100007F:2CEE 0100007F:0001 01 00000000:00000000 00:00000000 00000000  1000        0 4 1
   4: 00000000000000000000000001000000:2CEF 00000000000000000000000000000000:0000 0A 0:0 00:0 0  1000        0 5 1`;

  assert.deepEqual(portsOf(table, 1000), [11500, 11503]);
});

test("servers that hang, redirect, talk too much or want a key are no engines to share", async () => {
  await using hangs = await startServer(() => undefined);
  await using redirects = await startServer((_request, response) =>
    response.writeHead(302, { location: "/v1/models" }).end(),
  );
  await using talks = await startServer((_request, response) => response.end("x".repeat(70_000)));
  await using locked = await startServer((_request, response) => response.writeHead(401).end());
  await using closing = new AsyncDisposableStack();
  const dispatcher = closing.adopt(openProbeDispatcher(), (agent) => agent.destroy());
  const ports = [hangs, redirects, talks, locked].map(({ url }) => Number(url.port));
  const startedMs = performance.now();

  const found = await discoverEngines(ports, dispatcher);

  assert.deepEqual(
    found.map(({ url, verdict }) => [Number(url.port), verdict]),
    [[ports[3], "needs-key"]],
  );
  assert.ok(performance.now() - startedMs < 2_000);
});

test("an engine keeps its target while it runs, may miss one look, and is dropped after two", async () => {
  let isUp = true;
  await using engine = await startServer((request, response) => {
    if (!isUp) response.destroy();
    else if (request.url === "/") response.end("Ollama is running");
    else if (request.url === "/api/version") response.end('{"version":"1"}');
    else if (request.url === "/api/tags") response.end('{"models":[{"name":"m"}]}');
    else response.writeHead(404).end();
  });
  await using generic = await startServer((request, response) =>
    response.writeHead(request.url === "/v1/models" ? 200 : 404).end('{"data":[{"id":"g"}]}'),
  );
  await using closing = new AsyncDisposableStack();
  const dispatcher = closing.adopt(openProbeDispatcher(), (agent) => agent.destroy());
  const config = { ports: undefined, ollamaHost: undefined, ollamaSlots: 2, allowGeneric: false, maxBodyBytes: 1 };
  const ports = [Number(engine.url.port), Number(generic.url.port)];
  const targets = new DiscoveredTargets({ config, dispatcher, now: () => 0, ports: () => Promise.resolve(ports) });
  closing.defer(() => targets.close());

  await targets.refresh();
  const first = targets.targets.get("ollama");
  assert.deepEqual([first?.slots, first?.found.version, [...(first?.models.keys() ?? [])]], [2, "1", ["m"]]);
  assert.match(targets.notes.join(), /confirm with --yes/);
  isUp = false;
  await targets.refresh();
  assert.equal(targets.targets.get("ollama"), first);
  await targets.refresh();
  assert.equal(targets.targets.size, 0);
  isUp = true;
  await targets.refresh();
  assert.notEqual(targets.targets.get("ollama"), undefined);

  const confirmed = new DiscoveredTargets({
    config: { ...config, allowGeneric: true },
    dispatcher,
    now: () => 0,
    ports: () => Promise.resolve(ports),
  });
  closing.defer(() => confirmed.close());
  await confirmed.refresh();
  assert.deepEqual([...confirmed.targets.keys()], ["ollama", "openai"]);
});

test("a model whose name no hub takes is left out and told of, the others are published", async () => {
  const names = ["good:7b", "x".repeat(257), "two\u200bwords", " blank"];
  await using engine = await startServer((request, response) => {
    if (request.url === "/") response.end("Ollama is running");
    else if (request.url === "/api/version") response.end('{"version":"1"}');
    else if (request.url === "/api/tags") response.end(JSON.stringify({ models: names.map((name) => ({ name })) }));
    else response.writeHead(404).end();
  });
  await using closing = new AsyncDisposableStack();
  const dispatcher = closing.adopt(openProbeDispatcher(), (agent) => agent.destroy());
  const config = { ports: [], ollamaHost: undefined, ollamaSlots: 2, allowGeneric: false, maxBodyBytes: 1 };
  const ports = (): Promise<number[]> => Promise.resolve([Number(engine.url.port)]);
  const source = new DiscoveredTargets({ config, dispatcher, now: () => 0, ports });
  closing.defer(() => source.close());

  await source.refresh();

  assert.deepEqual([...(source.targets.get("ollama")?.models.keys() ?? [])], ["good:7b"]);
  assert.match(source.notes.join(), /ollama: 3 of its models are not published.*model_targets/);
});
