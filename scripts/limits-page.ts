// Writes the tables of docs/limits.md from the limits and their comments in the code: `node scripts/limits-page.ts`.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const page = join(root, "docs/limits.md");
const START = "<!-- Written by scripts/limits-page.ts from here on. -->";
const END = "<!-- To here. -->";

/** Where limits stand: a name is an object of limits or one number. */
const SOURCES: readonly (readonly [title: string, file: string, ...names: string[]])[] = [
  ["The tunnel, both ends", "packages/tunnel/src/limits.ts", "TUNNEL_LIMITS"],
  ["The tunnel's wire format", "packages/tunnel/src/limits.ts", "WIRE_LIMITS"],
  ["The hub: connections", "packages/hub/src/http/http-server.ts", "HTTP_LIMITS"],
  ["The hub: file descriptors", "packages/hub/src/observe/descriptor-watch.ts", "DESCRIPTOR_WATCH"],
  ["The hub: connections without a key", "packages/hub/src/http/stranger-sockets.ts", "STRANGERS"],
  ["The hub: requests of one connection", "packages/hub/src/http/turns.ts", "MAX_WAITING_REQUESTS"],
  ["The hub: failed attempts", "packages/hub/src/identity/failed-attempts.ts", "FAILED_ATTEMPTS"],
  ["The hub: uploads", "packages/hub/src/http/incoming-body.ts", "SLOW_UPLOAD"],
  ["The hub: uploads that are held back", "packages/hub/src/http/incoming-body.ts", "HELD_BACK"],
  ["The hub: an answer before the upload's end", "packages/hub/src/http/early-answer.ts", "EARLY_ANSWER"],
  ["The hub: waiting streams", "packages/hub/src/http/reply.ts", "KEEP_ALIVE_MS"],
  ["WebSockets, both ends", "packages/tunnel/src/websocket/message-record.ts", "WEBSOCKET_LIMITS"],
  ["The hub: WebSockets", "packages/hub/src/relay/message-memory.ts", "MESSAGE_MEMORY"],
  ["The hub: forms", "packages/hub/src/relay/form-scanner.ts", "MULTIPART_LIMITS"],
  ["The hub: forms held", "packages/hub/src/relay/request-view.ts", "MAX_HELD_UPLOAD_BYTES"],
  ["The hub: fields of a JSON body", "packages/hub/src/relay/json-scanner.ts", "MAX_FIELD_BYTES"],
  ["The hub: answers held back", "packages/hub/src/relay/commit-window.ts", "MAX_HELD_BYTES"],
  ["The hub: events", "packages/hub/src/relay/sse-events.ts", "MAX_EVENT_BYTES"],
  ["The hub: clients that do not read", "packages/hub/src/relay/pump.ts", "SLOW_CONSUMER_MS"],
  ["The hub: waiting for a slot", "packages/hub/src/routing/slot-queue.ts", "QUEUE_LIMITS"],
  ["The hub: targets and workers", "packages/hub/src/routing/dispatcher.ts", "REST_MS", "WORKERS_EXPECTED_MS"],
  ["The hub: draining", "packages/hub/src/hub-life.ts", "DRAIN"],
  ["The hub: keys of a user", "packages/hub/src/identity/key-checks.ts", "KEY_LIMITS"],
  ["The hub: rules of a key", "packages/hub/src/store/key-rules.ts", "KEY_RULES_LIMITS"],
  ["The hub: what a worker may announce", "packages/hub/src/fleet/announcement.ts", "ANNOUNCEMENT_LIMITS"],
  ["The hub: hashing of passwords", "packages/hub/src/accounts/password-hasher.ts", "HASHING"],
  ["The hub: passwords", "packages/hub/src/accounts/password-rules.ts", "PASSWORD_LENGTH"],
  ["The hub: sign-ins", "packages/hub/src/accounts/sign-ins.ts", "SIGN_INS"],
  ["The hub: sign-ins under way", "packages/hub/src/accounts/attempt.ts", "ATTEMPT_MS"],
  ["The hub: devices that are known", "packages/hub/src/accounts/device-token.ts", "DEVICE_TOKEN_MS"],
  ["The hub: tries, see accounts.md", "packages/hub/src/accounts/tries.ts", "TRIES"],
  ["The hub: passkeys", "packages/hub/src/accounts/passkeys.ts", "MAX_PASSKEYS"],
  ["The hub: access tokens", "packages/hub/src/accounts/access-tokens.ts", "ACCESS_TOKENS"],
  ["The hub: mails", "packages/hub/src/accounts/outbox.ts", "OUTBOX"],
  ["The hub: names of models in groups", "packages/hub/src/fleet/serving.ts", "CLAIM_PACE"],
  ["The hub: what a worker is told", "packages/hub/src/fleet/served-notice.ts", "NOTICE_LIMITS"],
  ["The hub: models that left", "packages/hub/src/fleet/catalogue.ts", "REMEMBERED"],
  ["The admin API: bodies", "packages/hub/src/admin/answer-route.ts", "MAX_ADMIN_BODY_BYTES"],
  ["The admin API: bodies of who is not known", "packages/hub/src/admin/answer-route.ts", "MAX_STRANGER_BODY_BYTES"],
  ["The admin API: bodies on their way", "packages/hub/src/admin/body-memory.ts", "BODY_MEMORY"],
  ["The admin API: requests", "packages/hub/src/admin/rate-limit.ts", "RATE_LIMITS"],
  ["The admin API: requests that change something", "packages/hub/src/admin/rate-limit.ts", "CHANGE_LIMITS"],
  ["The admin API: lists", "packages/hub/src/admin/paging.ts", "PAGE_LIMITS"],
  ["The admin API: events", "packages/hub/src/admin/event-hub.ts", "EVENT_LIMITS"],
  ["The admin API: events of usage", "packages/hub/src/admin/usage-events.ts", "USAGE_EVENT_LIMITS"],
  ["The admin API: clients that do not read", "packages/hub/src/admin/slow-reader.ts", "SLOW_READER"],
  ["The admin API: answers kept", "packages/hub/src/store/idempotency-store.ts", "IDEMPOTENCY_LIMITS"],
  ["The hub: groups and invites", "packages/hub/src/groups/group-limits.ts", "GROUP_LIMITS"],
  ["The worker", "packages/worker/src/limits.ts", "LIMITS"],
];

/** The page with its tables as the code has them now. */
export async function limitsPage(): Promise<string> {
  const text = readFileSync(page, "utf8");
  const tables: string[] = [];
  for (const [title, file, ...names] of SOURCES) tables.push(await tableOf(title, file, names));
  const before = text.slice(0, text.indexOf(START) + START.length);
  const after = text.slice(text.indexOf(END));
  return `${before}\n\n${tables.join("\n\n")}\n\n${after}`;
}

async function tableOf(title: string, file: string, names: readonly string[]): Promise<string> {
  const module = (await import(join(root, file))) as Readonly<Record<string, unknown>>;
  const source = readFileSync(join(root, file), "utf8");
  const rows = names.flatMap((name) => {
    const value = module[name];
    if (typeof value === "number") return [rowOf(name, value, commentOf(source, `export const ${name} `))];
    if (typeof value !== "object" || value === null) throw new Error(`${file} has no limits called ${name}`);
    const start = source.indexOf(`export const ${name} `);
    const own = source.slice(start);
    return Object.entries(value).map(([key, each], index) => {
      const common = index === 0 ? commentOf(source, `export const ${name} `) : "As above.";
      return rowOf(key, Number(each), commentOf(own, `${key}:`) || common);
    });
  });
  return [
    `## ${title}`,
    "",
    `\`${file}\``,
    "",
    "| Limit | Value | Why, and what it costs at worst |",
    "|---|---|---|",
    ...rows,
  ].join("\n");
}

function rowOf(name: string, value: number, why: string): string {
  return `| \`${name}\` | ${shown(name, value)} | ${why.replaceAll("|", "\\|")} |`;
}

/** The doc comment in front of `declaration`, as one line; "" when there is none. */
function commentOf(source: string, declaration: string): string {
  const at = source.indexOf(declaration);
  const before = source.slice(0, at).trimEnd();
  if (at < 0 || !before.endsWith("*/")) return "";
  const comment = before.slice(before.lastIndexOf("/**") + 3, -2);
  return comment
    .split("\n")
    .map((line) => line.replace(/^\s*\*?\s?/, "").trim())
    .join(" ")
    .replaceAll(/\{@link (\w+)\}/g, "`$1`")
    .trim();
}

/** With the unit that the name tells. */
function shown(name: string, value: number): string {
  if (/Ms$|_MS$/.test(name)) return value % 1000 === 0 ? `${value / 1000} s` : `${value} ms`;
  if (/bytes/i.test(name)) return bytes(value);
  return value.toLocaleString("en-US");
}

function bytes(value: number): string {
  for (const [unit, size] of [
    ["MiB", 1024 * 1024],
    ["KiB", 1024],
  ] as const) {
    if (value >= size && value % size === 0) return `${value / size} ${unit}`;
  }
  return `${value.toLocaleString("en-US")} bytes`;
}

if (import.meta.main) writeFileSync(page, await limitsPage());
