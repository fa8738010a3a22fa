import assert from "node:assert/strict";
import { test } from "node:test";

import { readConfig } from "../config.ts";
import { openProbeDispatcher } from "../engines/probe.ts";
import { startServer } from "../serving/test-engine.ts";
import { ConfiguredTargets } from "./configured-targets.ts";

function configuredFrom(modelTargets: object, stack: AsyncDisposableStack): ConfiguredTargets {
  const config = readConfig({
    env: {
      TOKIAME_GATEWAY_URL: "ws://hub",
      TOKIAME_TOKEN: "wk-1",
      TOKIAME_MODEL_TARGETS: JSON.stringify(modelTargets),
    },
    home: "/nonexistent",
    hostName: "w",
    flags: {},
  });
  const dispatcher = stack.adopt(openProbeDispatcher(), (agent) => agent.destroy());
  const targets = new ConfiguredTargets(config.modelTargets, { dispatcher, now: () => 0 });
  stack.defer(() => targets.close());
  return targets;
}

test("models of one endpoint share a target, others get their own, and no name tells an address", async () => {
  await using stack = new AsyncDisposableStack();
  const url = "http://10.1.2.3:8000";

  const { targets } = configuredFrom(
    {
      a: { url },
      b: { url, mapped_name: "inner" },
      c: { url, api_keys: ["k"] },
      d: { url: "http://10.1.2.4", backend_type: "vLLM Omni" },
    },
    stack,
  );

  assert.deepEqual([...targets.keys()], ["openai", "openai-2", "vllm-omni"]);
});

test("an engine's models are published while it answers, with what it says of them", async () => {
  let isUp = false;
  await using engine = await startServer((request, response) => {
    if (!isUp) response.destroy();
    else if (request.url === "/v1/models") {
      response.end('{"data":[{"id":"inner","owned_by":"vllm","max_model_len":4096}]}');
    } else response.writeHead(404).end();
  });
  await using stack = new AsyncDisposableStack();
  const source = configuredFrom({ public: { url: `${engine.url.origin}/v1`, mapped_name: "inner" } }, stack);
  const [target] = source.targets.values();
  const published = (): unknown[] => [...(target?.models.values() ?? [])];

  await source.refresh();
  assert.deepEqual(published(), []);
  assert.match(source.notes.join(), /does not answer/);
  isUp = true;
  await source.refresh();
  const facts = { id: "public", upstream: "inner", contextLength: 4096, loaded: true };
  assert.deepEqual(published(), [facts]);
  assert.equal(target?.slots, 64);
  isUp = false;
  await source.refresh();
  assert.deepEqual(published(), [facts]);
  await source.refresh();
  assert.deepEqual(published(), []);
});

test("a user and a password in the URL go to the engine as its header", async () => {
  const seen = new Set<string | undefined>();
  await using engine = await startServer((request, response) => {
    seen.add(request.headers.authorization);
    response.end();
  });
  await using stack = new AsyncDisposableStack();
  const source = configuredFrom({ m: { url: `http://me:p%40ss@${engine.url.host}` } }, stack);

  await source.refresh();

  assert.deepEqual(seen, new Set(["Basic bWU6cEBzcw=="]));
});

test("the owner's key is used to ask a configured engine", async () => {
  const seen = new Set<string | undefined>();
  await using engine = await startServer((request, response) => {
    seen.add(request.headers.authorization);
    response.writeHead(404).end();
  });
  await using stack = new AsyncDisposableStack();
  const source = configuredFrom({ m: { url: engine.url.origin, api_keys: ["k"] } }, stack);

  await source.refresh();

  assert.deepEqual(seen, new Set(["Bearer k"]));
  assert.deepEqual(
    [...source.targets.values()].flatMap(({ models }) => [...models.keys()]),
    ["m"],
  );
});
