import { once } from "node:events";

import { connectTunnel, type TunnelClient, type TunnelStream } from "@tokilake/tunnel";

import type { HubConfig } from "./config.ts";
import { createHub, type Hub, type HubDeps } from "./hub.ts";
import type { Identification, KeyEnd, KeyKind, KeyRing } from "./identity/key-ring.ts";
import { testPrincipal } from "./identity/test-principal.ts";
import type { Metrics } from "./observe/metrics.ts";
import type { RequestLog, RequestRecord } from "./observe/request-log.ts";
import { SilentLog } from "./observe/silent-log.ts";
import { OPERATOR_GROUP_ID } from "./store/access-schema.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** Keys in memory: any `sk-` or `wk-` followed by a name is good until it is revoked. */
export class FakeKeyRing implements KeyRing {
  readonly #listeners = new Set<(end: KeyEnd) => void>();
  readonly #revoked = new Set<string>();
  readonly #userId: string | undefined;

  /** @param options.userId Whose all of the keys are; default: of whoever runs the hub. */
  constructor(options: { readonly userId?: string } = {}) {
    this.#userId = options.userId;
  }

  identify(secret: string, kind: KeyKind): Identification {
    if (this.#revoked.has(secret)) return { outcome: "revoked" };
    const found = secret.startsWith("sk-") ? "api" : secret.startsWith("wk-") ? "worker" : undefined;
    if (found === undefined) return { outcome: "unknown" };
    if (found !== kind) return { outcome: "wrong-kind" };
    return {
      outcome: "known",
      principal: testPrincipal(secret, { kind, name: secret.slice(3), userId: this.#userId }),
    };
  }

  groupsToServe(): readonly string[] {
    return [OPERATOR_GROUP_ID];
  }

  notServed(): readonly [] {
    return [];
  }

  slugOf(groupId: string): string {
    return groupId;
  }

  onEnded(listener: (end: KeyEnd) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onWorkerChanged(): () => void {
    return () => {};
  }

  onGroupChanged(): () => void {
    return () => {};
  }

  async caughtUp(): Promise<void> {}

  revoke(secret: string): void {
    this.#revoked.add(secret);
    for (const listener of this.#listeners) listener({ keyId: secret, groupId: undefined, reason: "revoked" });
  }
}

/** Keeps the records, and wakes who waits for one. */
export class FakeRequestLog implements RequestLog {
  readonly records: RequestRecord[] = [];
  readonly #waiting: ((record: RequestRecord) => void)[] = [];

  record(record: RequestRecord): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.records.push(record);
    else waiting(record);
  }

  /** The oldest record that was not asked for yet. */
  next(): Promise<RequestRecord> {
    const record = this.records.shift();
    if (record !== undefined) return Promise.resolve(record);
    const { promise, resolve } = Promise.withResolvers<RequestRecord>();
    this.#waiting.push(resolve);
    return promise;
  }
}

const SILENT_METRICS: Metrics = {
  requestFinished() {},
  attemptFailed() {},
  tunnelConnect() {},
  tunnelDisconnect() {},
  read() {},
  render: () => Promise.resolve({ contentType: "text/plain", text: "tokilake_up 1\n" }),
};

export const TEST_CONFIG: HubConfig = {
  host: "127.0.0.1",
  port: 0,
  dataDir: "/nowhere",
  databaseUrl: "sqlite:/nowhere/hub.db",
  log: { level: "error", format: "json" },
  limits: {
    maxJsonBytes: 1024 * 1024,
    maxUploadBytes: 256 * 1024 * 1024,
    maxBodyMemoryBytes: 64 * 1024 * 1024,
    maxSpoolBytes: 8 * 1024 * 1024,
    maxRequests: 1_000,
  },
  assumesTunnelV1: false,
  publicUrl: undefined,
  accounts: {
    registration: "open",
    requiresVerifiedEmail: true,
    secretKey: undefined,
    mail: undefined,
    admin: undefined,
    providers: [],
  },
  groups: { maxGroupsPerUser: 100, maxMembersPerGroup: 1_000, maxInvitesPerGroup: 100 },
  metricsToken: undefined,
  trustedProxies: { networks: [], header: "x-forwarded-for" },
  drainGraceMs: 5_000,
  timeouts: { connectMs: 5_000, firstTokenMs: 5_000, idleMs: 5_000, totalMs: 20_000 },
  modelTimeouts: {},
  requestLog: { maxRows: 1_000 },
};

export interface TestWorkerOptions {
  readonly name?: string;
  readonly token?: string;
  readonly models?: readonly string[];
  readonly slots?: number;
  readonly routes?: readonly string[];
  /** Groups that it asks to serve, by id or slug. */
  readonly groups?: readonly string[];
  /** Which of its process's connections it is; default: the only one. */
  readonly place?: { readonly instanceId: string; readonly slot: number };
  readonly onNotice?: (details: unknown) => void;
  /** Another way to the hub. */
  readonly url?: string;
}

interface PostInit {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A hub on a free port, with workers whose engine is a function of the test. */
export interface TestHub extends AsyncDisposable {
  readonly hub: Hub;
  /** Temporary, removed with the hub. */
  readonly dataDir: string;
  readonly url: string;
  readonly port: number;
  readonly keys: FakeKeyRing;
  readonly log: SilentLog;
  readonly requests: FakeRequestLog;
  /** Connects a worker; resolves when the hub knows its models. */
  connect(serve: (stream: TunnelStream) => void | Promise<void>, options?: TestWorkerOptions): Promise<TunnelClient>;
  /** Calls the API with a good key. */
  post(path: string, body: unknown, init?: PostInit): Promise<Response>;
}

export async function startTestHub(config: Partial<HubConfig> = {}, more: Partial<HubDeps> = {}): Promise<TestHub> {
  const keys = new FakeKeyRing();
  const log = new SilentLog();
  const requests = new FakeRequestLog();
  const deps = { log, keys, requestLog: requests, metrics: SILENT_METRICS, now: Date.now, random: () => 0 };
  const folder = temporaryFolder();
  const hub = createHub({ ...TEST_CONFIG, dataDir: folder.path, ...config }, { ...deps, ...more });
  const { port, url } = await hub.listen();
  const workers: TunnelClient[] = [];
  return {
    hub,
    dataDir: folder.path,
    url,
    port,
    keys,
    log,
    requests,
    connect: async (serve, options = {}) => {
      const worker = await connectWorker(url, serve, options);
      workers.push(worker);
      return worker;
    },
    post: (path, body, init = {}) =>
      fetch(url + path, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...init,
        headers: { authorization: "Bearer sk-test", "content-type": "application/json", ...init.headers },
      }),
    [Symbol.asyncDispose]: async () => {
      for (const worker of workers) worker.close();
      await hub.close();
      folder[Symbol.dispose]();
    },
  };
}

export function announcementOf(options: TestWorkerOptions): object {
  const target = {
    name: "engine",
    ...(options.slots !== undefined && { slots: options.slots }),
    ...(options.routes && { routes: options.routes }),
  };
  return {
    kind: "models",
    ...(options.groups && { groups: options.groups }),
    targets: [target],
    models: (options.models ?? ["m"]).map((id) => ({ id, target: "engine" })),
  };
}

async function connectWorker(
  url: string,
  serve: (stream: TunnelStream) => void | Promise<void>,
  options: TestWorkerOptions,
): Promise<TunnelClient> {
  const connected = Promise.withResolvers<void>();
  const client = connectTunnel({
    url: options.url ?? url,
    token: options.token ?? "wk-worker",
    ...options.place,
    workerId: options.name ?? "worker-1",
    software: "test/0.0.0",
    failFast: true,
    details: () => announcementOf(options),
    serve,
    ...(options.onNotice && { onNotice: options.onNotice }),
    onState: (state) => {
      if (state.is === "connected") connected.resolve();
      if (state.is === "stopped") connected.reject(new Error(`${state.code}: ${state.message}`));
    },
  });
  await connected.promise;
  return client;
}

/** All of a stream's request body. */
export async function bodyOf(stream: TunnelStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream.body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function answerJson(stream: TunnelStream, value: unknown, status = 200): void {
  stream.respond({ status, headers: [["content-type", "application/json"]] });
  stream.write(Buffer.from(JSON.stringify(value)));
  stream.end();
}

export function beginEvents(stream: TunnelStream): void {
  stream.respond({ status: 200, headers: [["content-type", "text/event-stream"]] });
}

export function writeEvent(stream: TunnelStream, value: unknown): void {
  stream.write(Buffer.from(`data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`));
}

export function delta(content: string): object {
  return { object: "chat.completion.chunk", choices: [{ index: 0, delta: { content }, finish_reason: null }] };
}

export const ROLE = { choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] };
export const STOP = { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] };

/** Resolves when the stream was ended early, with the code. */
export async function resetOf(stream: TunnelStream): Promise<unknown> {
  if (!stream.signal.aborted) await once(stream.signal, "abort");
  return stream.signal.reason;
}
