import type { V1Facts } from "./control-message.ts";
import { V1_ROUTES } from "./v1-routes.ts";

/**
 * Protocol v1 names models in its own messages, v2 leaves them to the programs around the tunnel. So that those need not
 * know which version a peer speaks, v1 is told in the form of `docs/examples/worker-announcement.json`, in both directions.
 */

/** A v1 worker does not tell its engines apart: the hub sees one target, whose name never goes over the wire. */
const TARGET = "v1";
const DEFAULT_BACKEND = "openai";
const MIXED_BACKENDS = "mixed";

/** Go's names and Node's. Others are the same in both. */
const ARCHITECTURES: readonly (readonly [go: string, node: string])[] = [
  ["amd64", "x64"],
  ["386", "ia32"],
];
const SYSTEMS: readonly (readonly [go: string, node: string])[] = [["windows", "win32"]];

/** The announcement of a worker that spoke v1. Of its hardware only what is harmless: v1 workers also send addresses. */
export function announcementOf(facts: V1Facts): object {
  const models = [...new Set(facts.models?.map((model) => model.trim()))].filter((model) => model !== "");
  const groups = listOf(facts.group);
  return {
    kind: "models",
    ...(facts.nodeName !== "" && { nodeName: facts.nodeName }),
    ...(groups.length > 0 && { groups }),
    targets: [{ name: TARGET, engine: facts.backendType || DEFAULT_BACKEND, routes: V1_ROUTES }],
    models: models.map((id) => ({ id, target: TARGET })),
    hardware: hardwareOf(facts.hardware ?? {}),
  };
}

/** What a v1 hub is told of an announcement. Undefined when it is none of models, which v1 has no message for. */
export function factsOfAnnouncement(details: unknown, namespace: string): V1Facts | undefined {
  const announced = recordOf(details);
  if (announced["kind"] !== "models") return undefined;
  const engines = new Set(recordsOf(announced["targets"]).map((target) => textOf(target["engine"])));
  const [engine = ""] = engines;
  const { os, arch, cpuCount } = recordOf(announced["hardware"]);
  return {
    namespace,
    nodeName: textOf(announced["nodeName"]),
    group: arrayOf(announced["groups"]).map(textOf).join(","),
    models: recordsOf(announced["models"]).map((model) => textOf(model["id"])),
    hardware: {
      goos: renamed(textOf(os), SYSTEMS, "toGo"),
      goarch: renamed(textOf(arch), ARCHITECTURES, "toGo"),
      num_cpu: typeof cpuCount === "number" ? cpuCount : 0,
    },
    backendType: engines.size > 1 ? MIXED_BACKENDS : engine,
  };
}

function hardwareOf(wire: Readonly<Record<string, unknown>>): object {
  const { goos, goarch, num_cpu: cpuCount } = wire;
  return {
    ...(typeof goos === "string" && goos.length <= 64 && { os: renamed(goos, SYSTEMS, "toNode") }),
    ...(typeof goarch === "string" && goarch.length <= 64 && { arch: renamed(goarch, ARCHITECTURES, "toNode") }),
    ...(typeof cpuCount === "number" && Number.isSafeInteger(cpuCount) && cpuCount > 0 && { cpuCount }),
  };
}

function renamed(name: string, pairs: typeof SYSTEMS, direction: "toGo" | "toNode"): string {
  for (const [go, node] of pairs)
    if (name === (direction === "toGo" ? node : go)) return direction === "toGo" ? go : node;
  return name;
}

function listOf(text: string): string[] {
  return text
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
}

function recordsOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return arrayOf(value).map(recordOf);
}

function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
