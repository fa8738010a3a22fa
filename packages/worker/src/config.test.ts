import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { type Config, ConfigError, type ConfigSources, readConfig } from "./config.ts";

const MINIMAL = { gateway_url: "wss://hub.example.com", token: "wk-1", namespace: "w" };

async function temporaryFolder(): Promise<
  AsyncDisposable & { path: string; write(name: string, content: unknown): Promise<string> }
> {
  const path = await mkdtemp(join(tmpdir(), "tokiame-config-"));
  return {
    path,
    async write(name, content) {
      await writeFile(join(path, name), typeof content === "string" ? content : JSON.stringify(content));
      return join(path, name);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

function read(env: NodeJS.ProcessEnv, flags: ConfigSources["flags"] = {}): Config {
  return readConfig({ env, home: "/nonexistent", hostName: "gaming-pc", flags });
}

function mistakesOf(readIt: () => unknown): readonly string[] {
  try {
    readIt();
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.mistakes;
  }
  return assert.fail("no mistakes");
}

const ENV = { TOKIAME_GATEWAY_URL: "ws://hub:1", TOKIAME_TOKEN: "wk-env" };

test("without a file the environment is enough and the machine's name is the worker's", () => {
  const config = read(ENV);

  assert.deepEqual(
    [config.gatewayUrl.href, config.token, config.workerId, config.modelTargets, config.path],
    ["ws://hub:1/", "wk-env", "gaming-pc", [], undefined],
  );
});

test("flags go before the environment, which goes before the file; empty variables do not count", async () => {
  await using folder = await temporaryFolder();
  const config = await folder.write("c.json", { ...MINIMAL, node_name: "file", group: "a, b,," });
  const tokenFile = await folder.write("token", "wk-flag\n");

  const got = read(
    { TOKIAME_CONFIG: config, TOKIAME_NAMESPACE: "env", TOKIAME_NODE_NAME: " ", TOKIAME_TOKEN: "wk-env" },
    { tokenFile, gatewayUrl: "http://flag:2" },
  );

  assert.deepEqual(
    [got.workerId, got.nodeName, got.token, got.gatewayUrl.host, got.groups, got.path],
    ["env", "file", "wk-flag", "flag:2", ["a", "b"], config],
  );
});

test("a hub that names no version is taken for an original one only where that is set", () => {
  const assumed = ["true", "1", "no", ""].map((value) => read({ ...ENV, TOKIAME_ASSUME_TUNNEL_V1: value }).assumesV1);

  assert.deepEqual(assumed, [true, true, false, false]);
});

test("every key of the original keeps its meaning", async () => {
  await using folder = await temporaryFolder();
  const path = await folder.write("c.json", {
    ...MINIMAL,
    quic_endpoint: "",
    transport_mode: "websocket",
    backend_type: "vllm",
    heartbeat_interval_seconds: 10,
    reconnect_delay_seconds: 2.5,
    insecure_skip_verify: false,
    price: { input: 1 },
    model_targets: {
      public: {
        url: " http://127.0.0.1:8000/v1 ",
        mapped_name: "inner",
        backend_type: "sglang",
        headers: { "X-A": "1" },
        api_keys: ["k1", "k2"],
        api_key_header: "X-Key",
        api_key_prefix: "",
        price: {},
      },
      plain: { url: "https://engine.example.com" },
      " ": { url: "http://h" },
      blank: { url: " " },
    },
  });

  const config = read({}, { config: path });

  assert.deepEqual([config.heartbeatMs, config.reconnectDelayMs], [10_000, 2_500]);
  const [first, second] = config.modelTargets;
  assert.deepEqual(
    { ...first, url: first?.url.href, routes: first?.routes.length },
    {
      model: "public",
      url: "http://127.0.0.1:8000/v1",
      mappedName: "inner",
      backendType: "sglang",
      headers: { "X-A": "1" },
      apiKeys: ["k1", "k2"],
      apiKeyHeader: "X-Key",
      apiKeyPrefix: "",
      maxConcurrent: undefined,
      routes: 13,
      maxBodyBytes: 536_870_912,
    },
  );
  assert.deepEqual([second?.model, second?.mappedName, second?.backendType], ["plain", "plain", "vllm"]);
  assert.deepEqual(config.warnings, [
    'model_targets: the entry " " has no name or no url and is left out',
    'model_targets: the entry "blank" has no name or no url and is left out',
  ]);
});

test("unknown keys and keys without effect are named, not refused", async () => {
  await using folder = await temporaryFolder();
  const path = await folder.write("c.json", {
    ...MINIMAL,
    gatway: 1,
    quic_endpoint: "hub:443",
    insecure_skip_verify: true,
    model_targets: { m: { url: "http://h", mapped: "x" } },
  });

  assert.deepEqual(read({}, { config: path }).warnings, [
    "gatway: unknown key, ignored",
    "model_targets.m.mapped: unknown key, ignored",
    "quic_endpoint: has no effect, the tunnel is always a WebSocket",
    "insecure_skip_verify: has no effect, certificates are always checked",
  ]);
});

test("all mistakes come in one message", async () => {
  await using folder = await temporaryFolder();
  const path = await folder.write("c.json", {
    gateway_url: "ftp://hub",
    transport_mode: "quic",
    heartbeat_interval_seconds: 0,
    routes: ["POST /v1/../x", "/v1/x"],
    model_targets: {
      m: { url: "localhost:8000", headers: { a: "1\r\nb: 2", "Content-Length": "5" }, max_concurrent: 1.5 },
    },
  });

  const mistakes = mistakesOf(() => read({ TOKIAME_DISCOVERY_PORTS: "80,x" }, { config: path }));

  assert.deepEqual(
    mistakes.map((mistake) => mistake.split(": ")[0]),
    [
      "gateway_url",
      "token",
      "namespace",
      "model_targets.m.url",
      "model_targets.m.headers.a",
      "model_targets.m.headers.Content-Length",
      "model_targets.m.max_concurrent",
      "heartbeat_interval_seconds",
      "routes.0",
      "routes.1",
      "transport_mode",
      "TOKIAME_DISCOVERY_PORTS",
    ],
  );
});

test("a worker has two connections unless told otherwise, one to eight", () => {
  const connections = (value?: string): number => read({ ...ENV, TOKIAME_CONNECTIONS: value }).connections;

  assert.deepEqual([connections(), connections("1"), connections("8")], [2, 1, 8]);
  for (const value of ["0", "9", "1.5", "many"]) {
    assert.match(mistakesOf(() => connections(value))[0] ?? "", /^connections: /);
  }
});

test("no mistake shows a secret", () => {
  const mistakes = mistakesOf(() => read({ ...ENV, TOKIAME_TOKEN: "wk-secret with space" }));

  assert.deepEqual(mistakes, ["token: has spaces or other characters that a token cannot have"]);
});

test("a file that is named must be there and be a JSON object", async () => {
  await using folder = await temporaryFolder();
  const broken = await folder.write("c.json", "{");
  const list = await folder.write("d.json", "[]");

  assert.match(mistakesOf(() => read({}, { config: join(folder.path, "none") }))[0] ?? "", /cannot be read/);
  for (const config of [broken, list]) {
    assert.deepEqual(
      mistakesOf(() => read({}, { config })),
      [`${config}: is not a JSON object`],
    );
  }
});

test("model targets may come whole from the environment", () => {
  const targets = (value: string): Config => read({ ...ENV, TOKIAME_MODEL_TARGETS: value });

  assert.equal(targets('{"m":{"url":"http://h"}}').modelTargets[0]?.model, "m");
  assert.match(mistakesOf(() => targets("{"))[0] ?? "", /^model_targets: /);
});
