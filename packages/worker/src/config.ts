import { readFileSync } from "node:fs";
import { join } from "node:path";

import * as z from "zod";

import { LIMITS } from "./limits.ts";
import { RELAY_ROUTES, ROUTE_PATTERN } from "./targets/routes.ts";

/** Everything an owner can set, read once at start. Keys, variables and their meaning: docs/worker.md. */
export interface Config {
  /** The file it came from. */
  readonly path: string | undefined;
  readonly gatewayUrl: URL;
  readonly token: string;
  /** The original's `namespace`. */
  readonly workerId: string;
  readonly nodeName: string | undefined;
  readonly groups: readonly string[];
  readonly backendType: string;
  /** Empty: engines on this machine are looked for. */
  readonly modelTargets: readonly ModelTarget[];
  readonly discovery: DiscoveryConfig;
  readonly heartbeatMs: number | undefined;
  readonly reconnectDelayMs: number | undefined;
  readonly drainMs: number;
  /** To the hub, at the same time. An original hub takes one. */
  readonly connections: number;
  /** A hub that names no version of the tunnel is taken for an original one. */
  readonly assumesV1: boolean;
  /** What the owner should know: keys that have no effect, entries that were left out. */
  readonly warnings: readonly string[];
}

export interface DiscoveryConfig {
  /** Instead of the well-known ports. */
  readonly ports: readonly number[] | undefined;
  readonly ollamaHost: string | undefined;
  /** `OLLAMA_NUM_PARALLEL`, when this process has it too. */
  readonly ollamaSlots: number | undefined;
  /** Share servers that are only known to be OpenAI-compatible. */
  readonly allowGeneric: boolean;
  readonly maxBodyBytes: number;
}

/** One entry of `model_targets`. */
export interface ModelTarget {
  /** The public name. */
  readonly model: string;
  readonly url: URL;
  readonly mappedName: string;
  readonly backendType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly apiKeys: readonly string[];
  readonly apiKeyHeader: string | undefined;
  readonly apiKeyPrefix: string | undefined;
  readonly maxConcurrent: number | undefined;
  readonly routes: readonly string[];
  readonly maxBodyBytes: number;
}

/** The configuration cannot be used. The message lists every mistake, one a line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(mistakes.join("\n"));
    this.mistakes = mistakes;
  }
}

export interface ConfigSources {
  readonly env: NodeJS.ProcessEnv;
  readonly home: string;
  readonly hostName: string;
  readonly flags: {
    readonly config?: string | undefined;
    readonly gatewayUrl?: string | undefined;
    readonly namespace?: string | undefined;
    readonly tokenFile?: string | undefined;
    readonly yes?: boolean | undefined;
  };
}

const text = z.string().trim();
const seconds = z.number().positive().max(86_400);
const count = z.number().int().positive();
/** No control characters, so that a value cannot begin another header. */
// oxlint-disable-next-line no-control-regex -- they are what is kept out
const headerText = z.string().regex(/^[^\u0000-\u0008\u000a-\u001f\u007f]*$/, "has a line break or control character");
const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "is not a header name");
/** Those that the worker and its HTTP client set, or that end at the next hop. */
const ownHeaderName = headerName.refine(
  (name) =>
    !/^(?:accept-encoding|connection|content-length|expect|keep-alive|te|trailer|transfer-encoding|upgrade)$/i.test(
      name,
    ),
  "is a header that the worker sets itself",
);
const routes = z.array(z.string().regex(ROUTE_PATTERN, 'is not "METHOD /path" without query, dots or escapes')).min(1);

const modelTarget = z.looseObject({
  url: text.refine(isHttpUrl, "must be an http or https URL with a host").transform((value) => new URL(value)),
  mapped_name: text.optional(),
  backend_type: text.optional(),
  headers: z.record(ownHeaderName, headerText).optional(),
  api_keys: z.array(headerText).optional(),
  api_key_header: ownHeaderName.or(z.literal("")).optional(),
  api_key_prefix: headerText.optional(),
  max_concurrent: count.optional(),
  routes: routes.optional(),
  max_body_bytes: count.optional(),
});

const settings = z.looseObject({
  gateway_url: z
    .string({ error: "is missing: the hub's address, such as wss://hub.example.com (or TOKIAME_GATEWAY_URL)" })
    .refine(isGatewayUrl, "must be a ws, wss, http or https URL")
    .transform((value) => new URL(value)),
  quic_endpoint: z.string().optional(),
  transport_mode: z.enum(["auto", "quic", "websocket"], { error: "must be auto or websocket" }).optional(),
  token: text.min(1, "is empty").regex(/^[\x21-\x7e]+$/, "has spaces or other characters that a token cannot have"),
  namespace: text.min(1, "is empty").max(128),
  node_name: text.max(128).optional(),
  group: text.optional(),
  backend_type: text.optional(),
  model_targets: z.record(z.string(), modelTarget).optional(),
  heartbeat_interval_seconds: seconds.optional(),
  reconnect_delay_seconds: seconds.optional(),
  insecure_skip_verify: z.boolean().optional(),
  max_concurrent: count.optional(),
  routes: routes.optional(),
  max_body_bytes: count.optional(),
  allow_generic: z.boolean().optional(),
  drain_seconds: seconds.optional(),
  connections: count.max(LIMITS.maxConnections).optional(),
  assume_tunnel_v1: z.boolean().optional(),
  price: z.unknown().optional(),
});

type Settings = z.infer<typeof settings>;

/** Variables that take the place of a key of the file, and how their text is read. */
const VARIABLES: Readonly<Record<string, { key: string; read: (value: string) => unknown }>> = {
  TOKIAME_GATEWAY_URL: { key: "gateway_url", read: String },
  TOKIAME_QUIC_ENDPOINT: { key: "quic_endpoint", read: String },
  TOKIAME_TRANSPORT_MODE: { key: "transport_mode", read: String },
  TOKIAME_TOKEN: { key: "token", read: String },
  TOKIAME_NAMESPACE: { key: "namespace", read: String },
  TOKIAME_NODE_NAME: { key: "node_name", read: String },
  TOKIAME_GROUP: { key: "group", read: String },
  TOKIAME_BACKEND_TYPE: { key: "backend_type", read: String },
  TOKIAME_MODEL_TARGETS: { key: "model_targets", read: parseJson },
  TOKIAME_HEARTBEAT_INTERVAL_SECONDS: { key: "heartbeat_interval_seconds", read: Number },
  TOKIAME_RECONNECT_DELAY_SECONDS: { key: "reconnect_delay_seconds", read: Number },
  TOKIAME_MAX_CONCURRENT: { key: "max_concurrent", read: Number },
  TOKIAME_MAX_BODY_BYTES: { key: "max_body_bytes", read: Number },
  TOKIAME_ALLOW_GENERIC: { key: "allow_generic", read: isYes },
  TOKIAME_DRAIN_SECONDS: { key: "drain_seconds", read: Number },
  TOKIAME_CONNECTIONS: { key: "connections", read: Number },
  TOKIAME_ASSUME_TUNNEL_V1: { key: "assume_tunnel_v1", read: isYes },
};

/**
 * The configuration from flags, environment and file, in this order of force.
 *
 * @throws ConfigError with all mistakes at once.
 */
export function readConfig(sources: ConfigSources): Config {
  const file = readConfigFile(sources);
  const raw = mergedValues(file, sources);
  const warnings: string[] = unknownKeys(raw, settings.shape, "");
  raw["model_targets"] = withoutBlankTargets(raw["model_targets"], warnings);
  const parsed = settings.safeParse(raw);
  const discovery = discoveryPorts(sources.env["TOKIAME_DISCOVERY_PORTS"]);
  const mistakes = [...(parsed.error?.issues.map(mistakeOf) ?? []), ...quicMistake(raw), ...discovery.mistakes];
  if (!parsed.success || mistakes.length > 0) throw new ConfigError(mistakes);
  warnings.push(...effectless(parsed.data));
  return configOf(parsed.data, { path: file.path, ports: discovery.ports, env: sources.env, warnings });
}

/** The file's values, with those of the environment and then the flags in their place. */
function mergedValues(file: ConfigFile, { env, flags, hostName }: ConfigSources): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...file.values };
  for (const [variable, { key, read }] of Object.entries(VARIABLES)) {
    const value = env[variable]?.trim();
    if (value) merged[key] = read(value);
  }
  const fromFlags = {
    gateway_url: flags.gatewayUrl,
    namespace: flags.namespace,
    token: flags.tokenFile === undefined ? undefined : readSecret(flags.tokenFile),
    allow_generic: flags.yes === true ? true : undefined,
  };
  for (const [key, value] of Object.entries(fromFlags)) if (value !== undefined) merged[key] = value;
  // A first run without any file needs a name; the machine's own is the one its owner will know again.
  if (file.path === undefined) merged["namespace"] ??= hostName;
  return merged;
}

interface ConfigFile {
  readonly path: string | undefined;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Where the configuration is read from: flag, `TOKIAME_CONFIG`, else the default path if there is such a file. */
function readConfigFile(sources: ConfigSources): ConfigFile {
  const { env, home, flags } = sources;
  const named = flags.config ?? (env["TOKIAME_CONFIG"]?.trim() || undefined);
  const path = named ?? join(home, ".tokilake", "tokiame.json");
  const content = readOptional(path, { mustExist: named !== undefined });
  if (content === undefined) return { path: undefined, values: {} };
  const values = z.record(z.string(), z.unknown()).safeParse(parseJson(content));
  if (!values.success) throw new ConfigError([`${path}: is not a JSON object`]);
  return { path, values: values.data };
}

function readOptional(path: string, options: { mustExist: boolean }): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (!options.mustExist && error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new ConfigError([`${path}: cannot be read (${error instanceof Error ? error.message : String(error)})`]);
  }
}

function readSecret(path: string): string {
  return readOptional(path, { mustExist: true })?.trim() ?? "";
}

function isYes(value: string): boolean {
  return ["1", "true", "yes"].includes(value.toLowerCase());
}

function parseJson(value: string): unknown {
  try {
    const parsed: unknown = JSON.parse(value);
    return parsed;
  } catch {
    // Not an object either, so that the schema names the key it stands for.
    return "not JSON";
  }
}

function withoutBlankTargets(targets: unknown, warnings: string[]): unknown {
  const parsed = z.record(z.string(), z.looseObject({})).safeParse(targets);
  if (!parsed.success) return targets;
  const kept = Object.entries(parsed.data).filter(([model, target]) => {
    const url = target["url"];
    const isBlank = model.trim() === "" || url === undefined || (typeof url === "string" && url.trim() === "");
    if (isBlank) warnings.push(`model_targets: the entry "${model}" has no name or no url and is left out`);
    else warnings.push(...unknownKeys(target, { ...modelTarget.shape, price: true }, `model_targets.${model}.`));
    return !isBlank;
  });
  return Object.fromEntries(kept);
}

function unknownKeys(values: Record<string, unknown>, known: object, prefix: string): string[] {
  return Object.keys(values)
    .filter((key) => !Object.hasOwn(known, key))
    .map((key) => `${prefix}${key}: unknown key, ignored`);
}

function effectless(values: Settings): string[] {
  const warnings: string[] = [];
  if (values.quic_endpoint) warnings.push("quic_endpoint: has no effect, the tunnel is always a WebSocket");
  if (values.insecure_skip_verify === true) {
    warnings.push("insecure_skip_verify: has no effect, certificates are always checked");
  }
  return warnings;
}

function quicMistake(raw: Record<string, unknown>): string[] {
  if (raw["transport_mode"] !== "quic") return [];
  return ["transport_mode: quic is not built, only the WebSocket is; set auto or websocket"];
}

function discoveryPorts(value: string | undefined): { ports: number[] | undefined; mistakes: string[] } {
  if (value === undefined || value.trim() === "") return { ports: undefined, mistakes: [] };
  const ports = value.split(",").map((item) => Number(item.trim()));
  if (ports.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)) return { ports, mistakes: [] };
  return { ports: undefined, mistakes: ["TOKIAME_DISCOVERY_PORTS: must be ports with commas between them"] };
}

function mistakeOf(issue: z.core.$ZodIssue): string {
  const key = issue.path.join(".");
  if (key === "token" && issue.code === "invalid_type") {
    return "token: is missing: a worker key of the hub (wk-…), in the file, TOKIAME_TOKEN or --token-file";
  }
  if (key === "namespace" && issue.code === "invalid_type")
    return "namespace: is missing: this worker's name at the hub";
  return `${key}: ${issue.message.replace(/^Invalid input: /, "")}`;
}

function configOf(
  values: Settings,
  context: { path: string | undefined; ports: number[] | undefined; env: NodeJS.ProcessEnv; warnings: string[] },
): Config {
  const backendType = values.backend_type || "openai";
  const maxBodyBytes = values.max_body_bytes ?? LIMITS.maxBodyBytes;
  return {
    path: context.path,
    gatewayUrl: values.gateway_url,
    token: values.token,
    workerId: values.namespace,
    nodeName: values.node_name || undefined,
    groups: (values.group ?? "").split(",").flatMap((group) => group.trim() || []),
    backendType,
    modelTargets: Object.entries(values.model_targets ?? {}).map(([model, target]) => ({
      model: model.trim(),
      url: target.url,
      mappedName: target.mapped_name || model.trim(),
      backendType: target.backend_type || backendType,
      headers: target.headers ?? {},
      apiKeys: (target.api_keys ?? []).filter((key) => key !== ""),
      apiKeyHeader: target.api_key_header || undefined,
      apiKeyPrefix: target.api_key_prefix,
      maxConcurrent: target.max_concurrent ?? values.max_concurrent,
      routes: target.routes ?? values.routes ?? RELAY_ROUTES,
      maxBodyBytes: target.max_body_bytes ?? maxBodyBytes,
    })),
    discovery: {
      ports: context.ports,
      ollamaHost: context.env["OLLAMA_HOST"],
      ollamaSlots: positiveInteger(context.env["OLLAMA_NUM_PARALLEL"]),
      allowGeneric: values.allow_generic ?? false,
      maxBodyBytes,
    },
    heartbeatMs: milliseconds(values.heartbeat_interval_seconds),
    reconnectDelayMs: milliseconds(values.reconnect_delay_seconds),
    drainMs: milliseconds(values.drain_seconds) ?? LIMITS.drainMs,
    connections: values.connections ?? LIMITS.connections,
    assumesV1: values.assume_tunnel_v1 ?? false,
    warnings: context.warnings,
  };
}

function milliseconds(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value * 1000);
}

function positiveInteger(value: string | undefined): number | undefined {
  const number = Number(value);
  return Number.isInteger(number) && number > 0 ? number : undefined;
}

function isHttpUrl(value: string): boolean {
  return URL.canParse(value) && ["http:", "https:"].includes(new URL(value).protocol);
}

function isGatewayUrl(value: string): boolean {
  return URL.canParse(value) && ["ws:", "wss:", "http:", "https:"].includes(new URL(value).protocol);
}
