import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import * as z from "zod";

import { isNetwork } from "./network.ts";
import { isProviderVariable, PROVIDERS, type ProviderSettings, providersOf } from "./provider-config.ts";

/** How long the hub waits for an upstream, in milliseconds. 0 never means "for ever"; every wait is bounded. */
export interface Timeouts {
  /** Until a target accepts the request (the worker has connected to its engine). */
  readonly connectMs: number;
  /** From the request until the first byte of content. */
  readonly firstTokenMs: number;
  /** Between two chunks of an answer. */
  readonly idleMs: number;
  /** The whole request. */
  readonly totalMs: number;
}

/** Accounts, and how people come to have one. */
export interface AccountsConfig {
  /** Who may make an account: anybody, whoever has an invite, or nobody: then administrators make them. */
  readonly registration: "open" | "invite" | "closed";
  /** Whether an address must be shown to be one's own before it signs in with a password. */
  readonly requiresVerifiedEmail: boolean;
  /** 32 bytes as text; undefined: a file of the data folder holds them. */
  readonly secretKey: string | undefined;
  /** undefined: mails are written to the log, for the operator to pass on. */
  readonly mail: { readonly url: string; readonly from: string } | undefined;
  /** The first root, made at the first start; undefined: whoever opens the link in the log is. */
  readonly admin: { readonly email: string; readonly password: string } | undefined;
  /** Other services that people sign in with. */
  readonly providers: readonly ProviderSettings[];
}

/** How much users may make of groups. */
export interface GroupsConfig {
  /** That one user owns. */
  readonly maxGroupsPerUser: number;
  readonly maxMembersPerGroup: number;
  /** That could still be used. */
  readonly maxInvitesPerGroup: number;
}

/** Proxies that say truly who asked them. */
export interface TrustedProxies {
  /** Addresses and CIDR blocks. */
  readonly networks: readonly string[];
  /** In which header. Only one: what a proxy does not write itself it passes on as a client wrote it. */
  readonly header: "x-forwarded-for" | "forwarded";
}

/** Everything an operator can set. Read once at start; the rest of the program is handed values. */
export interface HubConfig {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Where people reach the hub, `http:` or `https:`; undefined: not said. */
  readonly publicUrl: string | undefined;
  /** Absolute. Holds the database; made with mode 0700. */
  readonly dataDir: string;
  /** `sqlite:` and an absolute path, or `postgres://…`. */
  readonly databaseUrl: string;
  readonly log: { readonly level: "debug" | "info" | "warn" | "error"; readonly format: "json" | "human" | "auto" };
  readonly limits: {
    /** A request body that is JSON. It is held in memory. */
    readonly maxJsonBytes: number;
    /** A request body of any other type (multipart uploads). It streams through. */
    readonly maxUploadBytes: number;
    /** Memory for the bodies of all requests together; one that would take more is answered 503. */
    readonly maxBodyMemoryBytes: number;
    /** Disk for uploads whose model stands behind the file, of all requests together. */
    readonly maxSpoolBytes: number;
    /** Requests served at once; one more is answered 503. */
    readonly maxRequests: number;
  };
  /** Workers that name no version of the tunnel are taken for version 1. Original ones name it. */
  readonly assumesTunnelV1: boolean;
  /** What a scraper of /metrics must send; undefined: anybody may read them. */
  readonly metricsToken: string | undefined;
  readonly trustedProxies: TrustedProxies;
  readonly accounts: AccountsConfig;
  readonly groups: GroupsConfig;
  /** How long running requests may go on after the first SIGTERM or SIGINT. */
  readonly drainGraceMs: number;
  readonly timeouts: Timeouts;
  /** Exceptions by public model name: an exact name, or a prefix and `*`. See {@link timeoutsFor}. */
  readonly modelTimeouts: Readonly<Record<string, Partial<Timeouts>>>;
  readonly requestLog: {
    /** Rows kept; the oldest go first. */
    readonly maxRows: number;
  };
}

/** What was given on the command line, as it was written. It wins over the environment. */
export interface ConfigFlags {
  readonly host?: string | undefined;
  readonly port?: string | undefined;
  readonly "data-dir"?: string | undefined;
  readonly config?: string | undefined;
}

/** Every mistake of one configuration, one a line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const MAX_TIMEOUT_MS = 24 * 3600 * 1000;
const MiB = 1024 * 1024;

/** Digits only: Number() would take "" for 0 and "1e3" for 1000. */
function wholeNumber(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, message)
    .transform(Number)
    .pipe(z.number().min(min, message).max(max, message));
}

function oneOf<const T extends readonly string[]>(values: T) {
  return z.enum(values, `must be one of ${values.join(", ")}`);
}

const DATABASE_URL = z
  .string()
  .refine(
    (url) => (url.startsWith("sqlite:") && url !== "sqlite::memory:") || (isPostgres(url) && URL.canParse(url)),
    "must be sqlite: and the path of a file, or postgres://user:password@host/database",
  );

function isPostgres(url: string): boolean {
  return /^postgres(ql)?:\/\//.test(url);
}

const NETWORKS = z.string().transform((text, context) => {
  const networks = text.split(",").map((each) => each.trim());
  const wrong = networks.find((each) => each !== "" && !isNetwork(each));
  if (wrong !== undefined)
    context.addIssue(`must be addresses or CIDR blocks with commas between them, not "${wrong}"`);
  return networks.filter((each) => each !== "");
});

/** The variables this program knows, the only place that names them. */
const ENVIRONMENT_FIELDS = z.object({
  TOKILAKE_HOST: z.string().min(1).default("0.0.0.0"),
  TOKILAKE_PORT: wholeNumber(0, 65_535).default(19_981),
  TOKILAKE_PUBLIC_URL: z
    .url({ protocol: /^https?$/, error: "must be an address with http:// or https://" })
    .exactOptional(),
  TOKILAKE_DATA_DIR: z.string().min(1).default("./data"),
  TOKILAKE_DATABASE_URL: DATABASE_URL.default("sqlite:"),
  TOKILAKE_CONFIG: z.string().min(1).exactOptional(),
  TOKILAKE_LOG_LEVEL: oneOf(["debug", "info", "warn", "error"]).default("info"),
  TOKILAKE_LOG_FORMAT: oneOf(["json", "human", "auto"]).default("auto"),
  TOKILAKE_MAX_JSON_BYTES: wholeNumber(1024, 1024 * MiB).default(32 * MiB),
  TOKILAKE_MAX_UPLOAD_BYTES: wholeNumber(1024, 1024 * 1024 * MiB).default(512 * MiB),
  TOKILAKE_MAX_BODY_MEMORY_BYTES: wholeNumber(1024, 1024 * 1024 * MiB).default(1024 * MiB),
  TOKILAKE_MAX_SPOOL_BYTES: wholeNumber(0, 1024 * 1024 * MiB).default(8 * 1024 * MiB),
  TOKILAKE_MAX_REQUESTS: wholeNumber(1, 1_000_000).default(10_000),
  TOKILAKE_ASSUME_TUNNEL_V1: oneOf(["true", "false"]).default("false"),
  TOKILAKE_METRICS_TOKEN: z.string().min(16, "must have at least 16 characters").exactOptional(),
  TOKILAKE_TRUSTED_PROXIES: NETWORKS.default([]),
  TOKILAKE_PROXY_HEADER: oneOf(["x-forwarded-for", "forwarded"]).default("x-forwarded-for"),
  TOKILAKE_REGISTRATION: oneOf(["open", "invite", "closed"]).default("invite"),
  TOKILAKE_EMAIL_VERIFICATION: oneOf(["auto", "required", "optional"]).default("auto"),
  TOKILAKE_ADMIN_EMAIL: z.string().min(1).exactOptional(),
  TOKILAKE_ADMIN_PASSWORD: z.string().min(1).exactOptional(),
  TOKILAKE_SECRET_KEY: z
    .string()
    .regex(/^(?:[\da-f]{64}|[\w-]{43}=?)$/i, "must be 64 hex digits or 43 characters of base64url")
    .exactOptional(),
  TOKILAKE_SMTP_URL: z
    .url({ protocol: /^smtps?$/, error: "must be an address with smtp:// or smtps://" })
    .exactOptional(),
  TOKILAKE_MAIL_FROM: z.string().min(3).exactOptional(),
  TOKILAKE_MAX_GROUPS_PER_USER: wholeNumber(0, 1_000_000).default(20),
  TOKILAKE_MAX_MEMBERS_PER_GROUP: wholeNumber(1, 1_000_000).default(1_000),
  TOKILAKE_MAX_INVITES_PER_GROUP: wholeNumber(0, 1_000_000).default(100),
  TOKILAKE_DRAIN_GRACE_MS: wholeNumber(0, MAX_TIMEOUT_MS).default(30_000),
  TOKILAKE_CONNECT_TIMEOUT_MS: wholeNumber(1, MAX_TIMEOUT_MS).exactOptional(),
  TOKILAKE_FIRST_TOKEN_TIMEOUT_MS: wholeNumber(1, MAX_TIMEOUT_MS).exactOptional(),
  TOKILAKE_IDLE_TIMEOUT_MS: wholeNumber(1, MAX_TIMEOUT_MS).exactOptional(),
  TOKILAKE_TOTAL_TIMEOUT_MS: wholeNumber(1, MAX_TIMEOUT_MS).exactOptional(),
  TOKILAKE_REQUEST_LOG_MAX_ROWS: wholeNumber(1, 1_000_000_000).default(1_000_000),
});

/** One of the two is of no use. */
const PAIRS = [
  ["TOKILAKE_SMTP_URL", "TOKILAKE_MAIL_FROM"],
  ["TOKILAKE_ADMIN_EMAIL", "TOKILAKE_ADMIN_PASSWORD"],
] as const;

const ENVIRONMENT = ENVIRONMENT_FIELDS.superRefine((settings, context) => {
  for (const [one, other] of PAIRS) {
    if ((settings[one] === undefined) === (settings[other] === undefined)) continue;
    const [missing, given] = settings[one] === undefined ? [one, other] : [other, one];
    context.addIssue({ code: "custom", path: [missing], message: `must be set with ${given}` });
  }
});

/** The names of all of them, but for those of sign-in providers. */
export const VARIABLES: readonly string[] = Object.keys(ENVIRONMENT_FIELDS.shape);

type Environment = z.infer<typeof ENVIRONMENT>;

const DEFAULT_TIMEOUTS: Timeouts = { connectMs: 5000, firstTokenMs: 300_000, idleMs: 120_000, totalMs: 1_800_000 };

const TIMEOUT = z.int().min(1).max(MAX_TIMEOUT_MS).exactOptional();
const TIMEOUTS = z.strictObject({ connectMs: TIMEOUT, firstTokenMs: TIMEOUT, idleMs: TIMEOUT, totalMs: TIMEOUT });
const MODEL_NAME = z
  .string()
  .regex(/^[^*]+\*?$|^\*$/, "must be a model's name, or the beginning of one and a single * at its end");

/** The optional `tokilake.json`. */
const FILE = z.strictObject({
  timeouts: TIMEOUTS.exactOptional(),
  models: z.record(MODEL_NAME, z.strictObject({ timeouts: TIMEOUTS })).exactOptional(),
  providers: PROVIDERS.exactOptional(),
});

type File = z.infer<typeof FILE>;

/** The file, its providers as the environment completes them. */
type CompletedFile = Omit<File, "providers"> & { readonly providers: readonly ProviderSettings[] };

/**
 * The configuration from the environment, the command line and the optional file; the command line wins, then the environment.
 *
 * @throws ConfigError naming every mistake, so that one attempt shows them all.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>, flags: ConfigFlags = {}): HubConfig {
  const mistakes: string[] = [];
  const settings = readEnvironment(env, flags, mistakes);
  // Defaults where the settings are wrong: the file is read all the same, for its own mistakes.
  const dataDir = resolve(settings?.TOKILAKE_DATA_DIR ?? flags["data-dir"] ?? env["TOKILAKE_DATA_DIR"] ?? "./data");
  const file = readFile(dataDir, flags.config ?? env["TOKILAKE_CONFIG"], mistakes);
  const providers = providersOf(env, file?.providers, mistakes);
  if (settings === undefined || file === undefined || mistakes.length > 0) {
    throw new ConfigError(`The configuration has ${counted(mistakes.length, "mistake")}:\n${mistakes.join("\n")}`);
  }
  return toConfig(settings, { ...file, providers }, dataDir);
}

/** Variables of the environment that begin like ours and are none: most likely misspelt. */
export function unknownVariables(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return Object.keys(env).filter(
    (name) => name.startsWith("TOKILAKE_") && !VARIABLES.includes(name) && !isProviderVariable(name),
  );
}

/** The timeouts of one model: the exact name wins, then the longest prefix that matches, then the general ones. */
export function timeoutsFor(config: Pick<HubConfig, "timeouts" | "modelTimeouts">, model: string): Timeouts {
  if (Object.hasOwn(config.modelTimeouts, model)) return { ...config.timeouts, ...config.modelTimeouts[model] };
  let longest = -1;
  let found: Partial<Timeouts> | undefined;
  for (const [pattern, timeouts] of Object.entries(config.modelTimeouts)) {
    const prefix = pattern.slice(0, -1);
    if (pattern.endsWith("*") && prefix.length > longest && model.startsWith(prefix)) {
      longest = prefix.length;
      found = timeouts;
    }
  }
  return found === undefined ? config.timeouts : { ...config.timeouts, ...found };
}

const FLAG_OF_VARIABLE: Readonly<Record<string, keyof ConfigFlags>> = {
  TOKILAKE_HOST: "host",
  TOKILAKE_PORT: "port",
  TOKILAKE_DATA_DIR: "data-dir",
  TOKILAKE_CONFIG: "config",
};

function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  flags: ConfigFlags,
  mistakes: string[],
): Environment | undefined {
  const given: Record<string, string> = {};
  for (const name of VARIABLES) {
    const flag = FLAG_OF_VARIABLE[name];
    const value = (flag === undefined ? undefined : flags[flag]) ?? env[name];
    // `NAME=` in a compose file means: not set.
    if (value !== undefined && value !== "") given[name] = value;
  }
  const parsed = ENVIRONMENT.safeParse(given);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    const name = String(issue.path[0]);
    const flag = FLAG_OF_VARIABLE[name];
    const shown = flag !== undefined && flags[flag] !== undefined ? `--${flag}` : name;
    mistakes.push(`  ${shown} ${issue.message} (it is ${shownValue(name, given[name] ?? "")})`);
  }
  return undefined;
}

/** @param path As given; undefined: `tokilake.json` of the data folder, which may be missing. */
function readFile(dataDir: string, path: string | undefined, mistakes: string[]): File | undefined {
  const isAskedFor = path !== undefined && path !== "";
  const file = isAskedFor ? resolve(path) : join(dataDir, "tokilake.json");
  const json = jsonOf(file);
  if ("mistake" in json) {
    // A data folder that is a file is the store's to report.
    if (!isAskedFor && (json.code === "ENOENT" || json.code === "ENOTDIR")) return {};
    // Nobody spoke of this file: what is at fault is the folder.
    const advice = !isAskedFor && json.code === "EACCES" ? ": choose a data folder of this user's with --data-dir" : "";
    mistakes.push(`  ${file} ${json.mistake}${advice}`);
    return undefined;
  }
  const parsed = FILE.safeParse(json.value);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) mistakes.push(`  ${file}: ${issueText(issue)}`);
  return undefined;
}

/** `code`: the system's, of a file that cannot be read. */
function jsonOf(path: string): { value: unknown } | { mistake: string; code?: string } {
  try {
    return { value: JSON.parse(readFileSync(path, "utf8")) };
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return { mistake: `is not JSON: ${thrown.message}` };
    const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : String(thrown);
    return { mistake: `cannot be read (${code})`, code };
  }
}

function issueText(issue: z.core.$ZodIssue): string {
  const message = issue.code === "invalid_key" ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return issue.path.length === 0 ? message : `${issue.path.map(String).join(".")}: ${message}`;
}

function toConfig(settings: Environment, file: CompletedFile, dataDir: string): HubConfig {
  return {
    host: settings.TOKILAKE_HOST,
    port: settings.TOKILAKE_PORT,
    publicUrl: settings.TOKILAKE_PUBLIC_URL,
    dataDir,
    databaseUrl: databaseUrlOf(settings.TOKILAKE_DATABASE_URL, dataDir),
    log: { level: settings.TOKILAKE_LOG_LEVEL, format: settings.TOKILAKE_LOG_FORMAT },
    limits: {
      maxJsonBytes: settings.TOKILAKE_MAX_JSON_BYTES,
      maxUploadBytes: settings.TOKILAKE_MAX_UPLOAD_BYTES,
      maxBodyMemoryBytes: settings.TOKILAKE_MAX_BODY_MEMORY_BYTES,
      maxSpoolBytes: settings.TOKILAKE_MAX_SPOOL_BYTES,
      maxRequests: settings.TOKILAKE_MAX_REQUESTS,
    },
    assumesTunnelV1: settings.TOKILAKE_ASSUME_TUNNEL_V1 === "true",
    metricsToken: settings.TOKILAKE_METRICS_TOKEN,
    trustedProxies: { networks: settings.TOKILAKE_TRUSTED_PROXIES, header: settings.TOKILAKE_PROXY_HEADER },
    accounts: accountsOf(settings, file.providers),
    groups: {
      maxGroupsPerUser: settings.TOKILAKE_MAX_GROUPS_PER_USER,
      maxMembersPerGroup: settings.TOKILAKE_MAX_MEMBERS_PER_GROUP,
      maxInvitesPerGroup: settings.TOKILAKE_MAX_INVITES_PER_GROUP,
    },
    drainGraceMs: settings.TOKILAKE_DRAIN_GRACE_MS,
    timeouts: { ...DEFAULT_TIMEOUTS, ...file.timeouts, ...timeoutsOf(settings) },
    modelTimeouts: modelTimeoutsOf(file),
    requestLog: { maxRows: settings.TOKILAKE_REQUEST_LOG_MAX_ROWS },
  };
}

function accountsOf(settings: Environment, providers: readonly ProviderSettings[]): AccountsConfig {
  const { TOKILAKE_SMTP_URL: url, TOKILAKE_MAIL_FROM: from } = settings;
  const { TOKILAKE_ADMIN_EMAIL: email, TOKILAKE_ADMIN_PASSWORD: password } = settings;
  const mail = url === undefined || from === undefined ? undefined : { url, from };
  const verification = settings.TOKILAKE_EMAIL_VERIFICATION;
  return {
    registration: settings.TOKILAKE_REGISTRATION,
    // Where no mail can be sent, to ask for it would keep everybody out.
    requiresVerifiedEmail: verification === "auto" ? mail !== undefined : verification === "required",
    secretKey: settings.TOKILAKE_SECRET_KEY,
    providers,
    mail,
    admin: email === undefined || password === undefined ? undefined : { email, password },
  };
}

function databaseUrlOf(url: string, dataDir: string): string {
  if (isPostgres(url)) return url;
  // `sqlite:///absolute` and `sqlite:relative` both occur in the wild.
  const path = url.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "");
  return `sqlite:${path === "" ? join(dataDir, "tokilake.db") : resolve(path)}`;
}

function timeoutsOf(settings: Environment): Partial<Timeouts> {
  const given = {
    connectMs: settings.TOKILAKE_CONNECT_TIMEOUT_MS,
    firstTokenMs: settings.TOKILAKE_FIRST_TOKEN_TIMEOUT_MS,
    idleMs: settings.TOKILAKE_IDLE_TIMEOUT_MS,
    totalMs: settings.TOKILAKE_TOTAL_TIMEOUT_MS,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function modelTimeoutsOf(file: Pick<File, "models">): Readonly<Record<string, Partial<Timeouts>>> {
  return Object.fromEntries(Object.entries(file.models ?? {}).map(([name, { timeouts }]) => [name, timeouts]));
}

/** A value as a message may show it: without passwords in addresses, and nothing of a token. */
function shownValue(name: string, value: string): string {
  if (/_(?:TOKEN|PASSWORD|KEY)$/.test(name)) return "hidden";
  return JSON.stringify(value.replace(/(:\/\/[^:@/]*):[^@]*@/, "$1:…@"));
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
