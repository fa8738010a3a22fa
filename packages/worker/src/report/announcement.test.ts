import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import type { ServedModel } from "../engines/engine.ts";
import { testTarget } from "../serving/test-engine.ts";
import type { Target, TargetSettings } from "../targets/target.ts";
import { loadAnnouncement, modelsAnnouncement } from "./announcement.ts";
import { gpusOf } from "./hardware.ts";

const HARDWARE = { os: "linux", arch: "x64", cpuCount: 8, memoryBytes: 34_359_738_368 };
const NOBODY = { nodeName: undefined, groups: [], hardware: HARDWARE };

function target(settings: Partial<TargetSettings>, models: readonly ServedModel[]): Target {
  return testTarget(new URL("http://10.9.8.7:6543/v1"), settings, models);
}

test("the announcement is the one that the hub's tests read", async () => {
  const example = new URL("../../../../docs/examples/worker-announcement.json", import.meta.url);
  const ollama = target(
    {
      name: "ollama",
      engine: "ollama",
      routes: ["POST /v1/chat/completions", "POST /v1/embeddings"],
      headers: { "x-secret": "s3cret" },
      apiKeys: ["k3y"],
    },
    [{ id: "llama3:8b", upstream: "inner", contextLength: 8192, capabilities: ["chat", "tools"], loaded: true }],
  );
  ollama.found = { version: "0.5.1", slots: 4 };
  const other = target({ name: "openai", routes: ["POST /v1/chat/completions"] }, [
    { id: "llama3:8b", upstream: "llama3:8b" },
    { id: "house-model", upstream: "house-model" },
  ]);
  const gpus = gpusOf("NVIDIA GeForce RTX 4090, 24564\n");

  const announcement = modelsAnnouncement([ollama, other], {
    nodeName: "gaming-pc",
    groups: ["friends"],
    hardware: { ...HARDWARE, gpus },
  });

  assert.deepEqual(JSON.parse(JSON.stringify(announcement)), JSON.parse(await readFile(example, "utf8")));
  assert.doesNotMatch(JSON.stringify(announcement), /10\.9\.8\.7|6543|s3cret|k3y|inner/);
});

test("a list of models that is too long for the hub is cut", () => {
  const models = Array.from({ length: 5000 }, (_, at) => ({ id: `model-${at}`, upstream: "m" }));
  const long = Array.from({ length: 1000 }, (_, at) => ({ id: `${at}-${"x".repeat(400)}`, upstream: "m" }));

  assert.equal(modelsAnnouncement([target({}, models)], NOBODY).models.length, 2000);
  assert.ok(JSON.stringify(modelsAnnouncement([target({}, long)], NOBODY)).length < 210 * 1024);
});

test("load tells what is known and leaves out the rest", () => {
  const busy = target({ name: "a" }, []);
  const release = busy.takeSlot();
  busy.found = { waiting: 3 };

  assert.deepEqual(loadAnnouncement([busy, target({ name: "b" }, [])]), {
    kind: "load",
    targets: [
      { name: "a", running: 1, waiting: 3 },
      { name: "b", running: 0 },
    ],
  });
  release?.();
  release?.();
  assert.equal(busy.running, 0);
});

test("GPUs are read from nvidia-smi's lines and other text is passed over", () => {
  assert.deepEqual(gpusOf("NVIDIA A100, PCIe, 40960\nFailed to initialize NVML\n\nX, [N/A]\n"), [
    { name: "NVIDIA A100, PCIe", memoryBytes: 42_949_672_960 },
  ]);
});
