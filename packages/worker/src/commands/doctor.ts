import type { CommandLine } from "../command-line.ts";
import { type Config, ConfigError, type DiscoveryConfig } from "../config.ts";
import { discoverEngines, type FoundEngine } from "../discovery/discover-engines.ts";
import { openProbeDispatcher } from "../engines/probe.ts";
import { Stop, type ExitReason } from "../exit-code.ts";
import { LIMITS } from "../limits.ts";
import { modelsAnnouncement } from "../report/announcement.ts";
import { type Hardware, readHardware } from "../report/hardware.ts";
import { plural, table } from "../table.ts";
import type { TargetSource } from "../targets/target-source.ts";
import { type CommandContext, configFrom } from "./context.ts";
import { checkHub } from "./hub-check.ts";
import { openSource, portsOf } from "./open-source.ts";

/** Explains, changes nothing. Resolves with the first thing that would keep `run` from working, or "ok". */
export async function doctor(line: CommandLine, context: CommandContext): Promise<ExitReason> {
  await using closing = new AsyncDisposableStack();
  const dispatcher = closing.adopt(openProbeDispatcher(), (agent) => agent.destroy());
  const { config, mistakes } = configOrMistakes(line, context);
  context.print(section("Configuration", configRows(config, mistakes)));

  const options = {
    ...(config ?? { modelTargets: [], discovery: defaultDiscovery(line, context), gatewayUrl: undefined }),
    userId: context.userId,
    dispatcher,
    now: () => context.monotonicMs(),
  };
  const found = await discoverEngines(await portsOf(options), dispatcher);
  context.print(section("Engines on this machine", engineRows(found, options.modelTargets.length > 0)));

  const source = openSource(options);
  closing.defer(() => source.close());
  await source.refresh();
  context.print(section("Would publish", publishedRows(source)));
  if (source.notes.length > 0)
    context.print(
      section(
        "Notes",
        source.notes.map((note) => [note]),
      ),
    );
  context.print(section("Machine", hardwareRows(await readHardware())));

  const hub = await checkedHub(config);
  context.print(section("Hub", [hub.row]));
  return source.targets.size === 0 && hub.reason !== "config" ? "noEngine" : hub.reason;
}

function configOrMistakes(
  line: CommandLine,
  context: CommandContext,
): { config?: Config; mistakes: readonly string[] } {
  try {
    return { config: configFrom(line, context), mistakes: [] };
  } catch (error) {
    if (error instanceof ConfigError) return { mistakes: error.mistakes };
    throw error;
  }
}

function defaultDiscovery(line: CommandLine, context: CommandContext): DiscoveryConfig {
  const ports = context.env["TOKIAME_DISCOVERY_PORTS"]?.split(",").map(Number).filter(Number.isInteger);
  return {
    ports,
    ollamaHost: context.env["OLLAMA_HOST"],
    ollamaSlots: undefined,
    allowGeneric: line.yes,
    maxBodyBytes: LIMITS.maxBodyBytes,
  };
}

function configRows(config: Config | undefined, mistakes: readonly string[]): string[][] {
  if (config === undefined) return mistakes.map((mistake) => ["mistake", mistake]);
  return [
    ["from", config.path ?? "environment and flags (no file)"],
    ["name", config.workerId],
    ["hub", `${config.gatewayUrl.protocol}//${config.gatewayUrl.host}`],
    ...(config.groups.length > 0 ? [["groups", config.groups.join(", ")]] : []),
    ...config.warnings.map((warning) => ["warning", warning]),
  ];
}

function engineRows(found: readonly FoundEngine[], isConfigured: boolean): string[][] {
  if (found.length === 0) return [["none", "start Ollama, vLLM, SGLang, llama.cpp or LM Studio"]];
  return found.map(({ url, kind, recognition, verdict }) => {
    const version = recognition.version === undefined ? "" : ` ${recognition.version}`;
    const advice = isConfigured ? "shared only as model_targets says" : VERDICTS[verdict];
    return [`port ${url.port}`, `${kind.title}${version}`, advice];
  });
}

const VERDICTS = {
  publish: "known, shared",
  confirm: "generic, confirm with --yes",
  "needs-key": "needs an API key: name it in model_targets with api_keys",
} as const satisfies Record<FoundEngine["verdict"], string>;

function publishedRows(source: TargetSource): string[][] {
  const nothing: Hardware = { os: "", arch: "", cpuCount: 0, memoryBytes: 0 };
  const facts = { nodeName: undefined, groups: [], hardware: nothing };
  const { models, targets } = modelsAnnouncement(source.targets.values(), facts);
  const rows = models.map((model) => [
    model.id,
    `on ${model.target}`,
    [
      ...(model.contextLength === undefined ? [] : [`${model.contextLength} tokens of context`]),
      ...(model.capabilities ?? []),
      ...(model.loaded === true ? ["loaded"] : []),
    ].join(", "),
  ]);
  if (rows.length === 0) return [["nothing", "no model of any engine"]];
  return [...rows, ...targets.map(({ name, slots }) => [`target ${name}`, plural(slots ?? 0, "slot")])];
}

function hardwareRows(hardware: Hardware): string[][] {
  const gib = (bytes: number): string => `${Math.round(bytes / 1024 ** 3)} GiB`;
  return [
    ["system", `${hardware.os} ${hardware.arch}, ${plural(hardware.cpuCount, "core")}, ${gib(hardware.memoryBytes)}`],
    ...(hardware.gpus ?? []).map((gpu) => ["gpu", `${gpu.name}, ${gib(gpu.memoryBytes)}`]),
  ];
}

async function checkedHub(config: Config | undefined): Promise<{ row: string[]; reason: ExitReason }> {
  if (config === undefined) return { row: ["unknown", "needs gateway_url and token"], reason: "config" };
  try {
    const ms = await checkHub(config.gatewayUrl, config.token, config);
    return { row: ["ok", `answers in ${ms} ms and takes the token`], reason: "ok" };
  } catch (error) {
    if (error instanceof Stop) return { row: ["problem", error.message], reason: error.reason };
    throw error;
  }
}

function section(title: string, rows: readonly (readonly string[])[]): string {
  return `${title}\n${table(rows)}\n`;
}
