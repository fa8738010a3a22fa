import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import * as z from "zod";

import { AppError } from "../errors.ts";
import type { UserActor } from "../identity/actor.ts";
import { SilentLog } from "../observe/silent-log.ts";
import { IDEMPOTENCY_LIMITS } from "../store/idempotency-store.ts";
import { openStore } from "../store/open-store.ts";
import { StoreError } from "../store/store-error.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { createAdminApi, isAdminPath } from "./admin-api.ts";
import { MAX_ADMIN_BODY_BYTES } from "./answer-route.ts";
import { listOf, PAGE_QUERY, pageOf, toPage } from "./paging.ts";
import { type RATE_LIMITS, RateLimit } from "./rate-limit.ts";
import { type Route, route, streamOf } from "./route.ts";

interface Note {
  readonly id: string;
  readonly text: string;
  readonly version: number;
  readonly secret: string;
}

interface Services {
  readonly notes: Note[];
  /** Creates wait for it. */
  readonly gate: { open: Promise<void> };
  /** Resolves when the endless stream was given up. */
  readonly given: PromiseWithResolvers<void>;
}

const NOTE = z.object({ id: z.string(), text: z.string(), version: z.int() });
const TEXT = z.strictObject({ text: z.string().min(1).max(10), tags: z.array(z.string()).max(2).exactOptional() });
const ID = z.strictObject({ id: z.string().max(64) });

const ROUTES: readonly Route<Services>[] = [
  route({
    method: "GET",
    path: "/api/notes",
    permission: "signed-in",
    scope: "account",
    summary: "Lists notes",
    query: z.strictObject(PAGE_QUERY),
    response: { 200: listOf(NOTE) },
    handler: async ({ query }, { notes }: Services) => {
      const { limit, after } = pageOf(query);
      const from = after === undefined ? 0 : notes.findIndex(({ id }) => id === after) + 1;
      return { body: toPage(notes.slice(from, from + limit), query, (note) => note) };
    },
  }),
  route({
    method: "POST",
    path: "/api/notes",
    permission: "signed-in",
    scope: "account",
    summary: "Makes a note",
    body: TEXT,
    response: { 201: NOTE },
    idempotent: true,
    handler: async ({ body }, { notes, gate }: Services) => {
      await gate.open;
      if (body.text === "fail") throw new AppError("conflict", "Failed.");
      const note = { id: `note_${notes.length + 1}`, text: body.text, version: 1, secret: "hidden" };
      notes.push(note);
      if (body.text === "lost") throw new StoreError("outcome-unknown", "The connection to /secret/place broke.");
      return { body: note, version: 1, location: `/api/notes/${note.id}` };
    },
  }),
  route({
    method: "PATCH",
    path: "/api/notes/{id}",
    permission: "signed-in",
    scope: "account",
    summary: "Changes a note",
    params: ID,
    body: TEXT,
    ifMatch: "required",
    response: { 200: NOTE },
    handler: async ({ params, body, ifMatch }) => {
      if (ifMatch !== 1) throw new AppError("precondition_failed");
      return { body: { id: params.id, text: body.text, version: 2 }, version: 2 };
    },
  }),
  route({
    method: "DELETE",
    path: "/api/notes/{id}",
    permission: "admin",
    scope: "sign-in-only",
    summary: "Removes a note",
    params: ID,
    response: { 204: null },
    handler: async () => ({}),
  }),
  route({
    method: "GET",
    path: "/api/broken",
    permission: "public",
    scope: "none",
    summary: "Fails by our own fault",
    response: { 200: NOTE },
    handler: async () => {
      throw new Error("secret text of the fault");
    },
  }),
  route({
    method: "GET",
    path: "/api/locked",
    permission: "public",
    scope: "none",
    summary: "Finds the database locked",
    response: { 200: NOTE },
    handler: async () => {
      throw new StoreError("locked", "The database /secret/path is locked by another program.");
    },
  }),
  route({
    method: "GET",
    path: "/api/cut",
    permission: "public",
    scope: "none",
    summary: "A stream that fails",
    response: { 200: streamOf("text/csv") },
    handler: async () => ({ body: cutLines() }),
  }),
  route({
    method: "GET",
    path: "/api/endless",
    permission: "public",
    scope: "none",
    summary: "A stream that never ends",
    response: { 200: streamOf("text/event-stream") },
    handler: async (_request, { given }: Services) => ({ body: new EndlessLines(given.resolve) }),
  }),
];

/** A stream that ends only when its reader goes away. */
class EndlessLines implements AsyncIterableIterator<string> {
  readonly #onReturn: () => void;
  #isFirst = true;

  constructor(onReturn: () => void) {
    this.#onReturn = onReturn;
  }

  next(): Promise<IteratorResult<string, undefined>> {
    if (!this.#isFirst) return new Promise(() => {});
    this.#isFirst = false;
    return Promise.resolve({ done: false, value: "first\n" });
  }

  return(): Promise<IteratorResult<string, undefined>> {
    this.#onReturn();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

async function* cutLines(): AsyncGenerator<string> {
  yield "a,b\n";
  throw new Error("the database went away");
}

const ADA = { id: "user_ada", email: "ada@example.com", name: "Ada", role: "user", isEmailVerified: true } as const;
const ROOT = { ...ADA, id: "user_root", role: "root" } as const;

/** Who the test says that he is: a user's cookie, a root's cookie, a token with one scope. */
function actorOf(words: string | undefined, address: string): UserActor | undefined {
  const signIn = { kind: "sign-in", id: "sign_in_1", confirmedAtMs: 0 } as const;
  const known = new Map<string | undefined, Pick<UserActor, "user" | "via">>([
    ["ada", { user: ADA, via: signIn }],
    ["root", { user: ROOT, via: signIn }],
    ["Bearer account", { user: ADA, via: { kind: "token", id: "token_1", scopes: ["account"] } }],
    ["Bearer keys", { user: ADA, via: { kind: "token", id: "token_2", scopes: ["keys:read"] } }],
  ]).get(words);
  return known && { kind: "user", ...known, address };
}

type Limits = Partial<Record<keyof typeof RATE_LIMITS, number>>;

async function startApi(limits: Limits = {}, changes: Limits = {}) {
  const folder = temporaryFolder();
  const store = await openStore(`sqlite:${folder.file("hub.db")}`);
  const notes: Note[] = [];
  const gate = { open: Promise.resolve() };
  const given = Promise.withResolvers<void>();
  const log = new SilentLog();
  const api = createAdminApi({
    routes: ROUTES,
    services: { notes, gate, given },
    actorOf: async (headers, address) => actorOf(headers.authorization ?? headers.cookie, address),
    addresses: { of: () => ({ ip: "192.0.2.1", network: "192.0.2.1" }) },
    onKnown: () => {},
    caughtUp: async () => {},
    db: store.database.db,
    limits: new RateLimit(() => 0, limits),
    changes: new RateLimit(() => 0, changes),
    publicOrigin: undefined,
    log,
    now: Date.now,
  });
  await api.ready();
  const server = createServer((request, response) => api.handle(request, response, { waits: false }));
  server.on("checkContinue", (request, response) => api.handle(request, response, { waits: true }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // Nothing else listens on a path here.
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    port,
    notes,
    gate,
    given: given.promise,
    log,
    db: store.database.db,
    call: (method: string, path: string, init: { as?: string; body?: unknown; headers?: object } = {}) => {
      const { as = "Bearer account", body } = init;
      const who = as.startsWith("Bearer") ? { authorization: as } : { cookie: as, "sec-fetch-site": "same-origin" };
      const json = body === undefined ? {} : { body: JSON.stringify(body) };
      const type = body === undefined ? {} : { "content-type": "application/json" };
      return fetch(url + path, { method, ...json, headers: { ...(as === "" ? {} : who), ...type, ...init.headers } });
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await store[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

/** Status, code and field of a refusal. */
async function refusal(response: Response): Promise<unknown[]> {
  const { error } = (await response.json()) as { error: { code: string; param: string | null } };
  return [response.status, error.code, error.param];
}

test("a create answers 201 with its place and its version, and nothing that the schema does not have", async () => {
  await using api = await startApi();

  const response = await api.call("POST", "/api/notes", { body: { text: "hello" } });

  assert.equal(response.status, 201);
  assert.equal(response.headers.get("location"), "/api/notes/note_1");
  assert.equal(response.headers.get("etag"), '"1"');
  assert.deepEqual(await response.json(), { id: "note_1", text: "hello", version: 1 });
});

test("every answer has a request id and headers that keep it private, refusals of Fastify and of ours too", async () => {
  await using api = await startApi();
  const answers = [
    await api.call("GET", "/api/notes"),
    await api.call("GET", "/api/nothing"),
    await api.call("GET", "/api/notes", { as: "" }),
    await api.call("TRACK", "/api/notes").catch(() => undefined),
    await api.call("PUT", "/api/notes"),
    await api.call("GET", "/api/notes/%E0%A4%A"),
    await api.call("GET", "/api/broken"),
  ];

  for (const response of answers) {
    if (response === undefined) continue;
    assert.match(response.headers.get("x-request-id") ?? "", /^req_[0-9a-f]{32}$/);
    assert.equal(response.headers.get("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.equal(response.headers.get("referrer-policy"), "no-referrer");
    assert.equal(response.headers.get("access-control-allow-origin"), null);
    assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
  }
});

test("what is wrong is answered in the one shape, with its status and the field", async () => {
  await using api = await startApi();
  const json = { "content-type": "application/json" };
  const post = (body: string, headers: object = json): Promise<Response> =>
    fetch(`${api.url}/api/notes`, { method: "POST", body, headers: { authorization: "Bearer account", ...headers } });

  assert.deepEqual(await refusal(await post("{")), [400, "invalid_json", null]);
  assert.deepEqual(await refusal(await post("")), [400, "missing_required_parameter", null]);
  assert.deepEqual(await refusal(await post("{}")), [400, "missing_required_parameter", "text"]);
  assert.deepEqual(await refusal(await post("[]")), [400, "invalid_request", null]);
  assert.deepEqual(await refusal(await post("text=a", { "content-type": "text/plain" })), [
    415,
    "unsupported_media_type",
    null,
  ]);
  assert.deepEqual(await refusal(await post('{"text":"a"}', { ...json, "content-encoding": "gzip" })), [
    415,
    "unsupported_media_type",
    null,
  ]);
  assert.deepEqual(await refusal(await api.call("POST", "/api/notes", { body: { text: "a", tags: ["", 1] } })), [
    400,
    "invalid_request",
    "tags.1",
  ]);
  assert.deepEqual(await refusal(await api.call("GET", "/api/notes?limit=101")), [400, "invalid_request", "limit"]);
  assert.deepEqual(await refusal(await api.call("GET", "/api/notes?limit=")), [400, "invalid_request", "limit"]);
  assert.deepEqual(await refusal(await api.call("GET", "/api/notes?cursor=abc")), [400, "invalid_request", "cursor"]);
  assert.deepEqual(await refusal(await api.call("GET", "/api/notes?onwer=me")), [400, "invalid_request", "onwer"]);
  assert.deepEqual(await refusal(await api.call("GET", "/api/none")), [404, "unknown_url", null]);
});

test("every problem of a body is named at once", async () => {
  await using api = await startApi();

  const response = await api.call("POST", "/api/notes", { body: { text: "", tags: 1, owner: "me" } });
  const { error } = (await response.json()) as { error: { message: string } };

  assert.match(error.message, /^text: too small.*; tags: invalid input.*; owner: there is no such field\.$/);
});

test("a field that the schema does not have is refused, whatever it is called", async () => {
  await using api = await startApi();

  for (const body of [
    '{"text":"a","role":"root"}',
    '{"text":"a","__proto__":{"x":1}}',
    '{"text":"a","constructor":1}',
  ]) {
    const response = await fetch(`${api.url}/api/notes`, {
      method: "POST",
      body,
      headers: { authorization: "Bearer account", "content-type": "application/json" },
    });
    assert.equal(response.status, 400, body);
  }
  assert.deepEqual(api.notes, []);
});

test("a method that a path does not answer is told which ones it does", async () => {
  await using api = await startApi();

  const response = await api.call("PUT", "/api/notes", { body: {} });

  assert.equal(response.headers.get("allow"), "GET, HEAD, POST");
  assert.deepEqual(await refusal(response), [405, "method_not_allowed", null]);
  assert.equal((await api.call("HEAD", "/api/notes")).status, 200);
});

test("a body of a megabyte is taken, a larger one is refused before it is read whole", async () => {
  await using api = await startApi();
  const bodyOf = (bytes: number): string => `{"text":"a"${" ".repeat(bytes - 12)}}`;
  const headers = { authorization: "Bearer account", "content-type": "application/json" };

  const fits = await fetch(`${api.url}/api/notes`, { method: "POST", headers, body: bodyOf(MAX_ADMIN_BODY_BYTES) });
  const tooLarge = await fetch(`${api.url}/api/notes`, {
    method: "POST",
    headers,
    body: bodyOf(MAX_ADMIN_BODY_BYTES + 1),
  });

  assert.equal(fits.status, 201);
  assert.deepEqual(await refusal(tooLarge), [413, "request_too_large", null]);
});

test("a client that waits to be asked for its body is asked only when it may send it", async () => {
  await using api = await startApi();
  const statusOf = async (authorization: string): Promise<unknown[]> => {
    const sent = httpRequest(`${api.url}/api/notes`, {
      method: "POST",
      headers: { authorization, "content-type": "application/json", expect: "100-continue", "content-length": 12 },
    });
    let wasAsked = false;
    sent.on("continue", () => {
      wasAsked = true;
      sent.end('{"text":"a"}');
    });
    sent.flushHeaders();
    const [response] = await once(sent, "response");
    sent.destroy();
    return [wasAsked, (response as { statusCode: number }).statusCode];
  };

  assert.deepEqual(await statusOf("Bearer account"), [true, 201]);
  assert.deepEqual(await statusOf("Bearer none"), [false, 401]);
});

test("nobody, keys of other doors, tokens without the scope and roles below are refused", async () => {
  await using api = await startApi();

  const nobody = await api.call("GET", "/api/notes", { as: "" });
  assert.equal(nobody.headers.get("www-authenticate"), "Bearer");
  assert.deepEqual(await refusal(nobody), [401, "unauthenticated", null]);
  for (const key of [`sk-${"a".repeat(43)}`, `wk-${"a".repeat(43)}`]) {
    const response = await api.call("GET", "/api/notes", { as: `Bearer ${key}` });
    assert.equal(response.status, 401);
    assert.match(await response.text(), /begin with pat-/);
  }
  assert.deepEqual(await refusal(await api.call("GET", "/api/notes", { as: "Bearer keys" })), [403, "forbidden", null]);
  assert.deepEqual(await refusal(await api.call("DELETE", "/api/notes/1")), [403, "forbidden", null]);
  assert.deepEqual(await refusal(await api.call("DELETE", "/api/notes/1", { as: "ada" })), [403, "forbidden", null]);
  assert.equal((await api.call("DELETE", "/api/notes/1", { as: "root" })).status, 204);
});

test("with a cookie a page of another origin changes nothing", async () => {
  await using api = await startApi();
  const post = (headers: object): Promise<Response> =>
    api.call("POST", "/api/notes", { as: "ada", body: { text: "a" }, headers });

  assert.deepEqual(await refusal(await post({ "sec-fetch-site": "cross-site" })), [403, "forbidden", null]);
  assert.deepEqual(await refusal(await post({ "sec-fetch-site": "same-site" })), [403, "forbidden", null]);
  assert.deepEqual(api.notes, []);
  assert.equal((await post({})).status, 201);
});

test("an update needs the version that was seen", async () => {
  await using api = await startApi();
  const patch = (headers: object): Promise<Response> =>
    api.call("PATCH", "/api/notes/note_1", { body: { text: "b" }, headers });

  assert.deepEqual(await refusal(await patch({})), [428, "precondition_required", null]);
  assert.deepEqual(await refusal(await patch({ "if-match": '"2"' })), [412, "precondition_failed", null]);
  for (const wrong of ["1", "*", 'W/"1"', '"1", "2"', '"x"']) {
    assert.deepEqual(await refusal(await patch({ "if-match": wrong })), [400, "invalid_request", "If-Match"]);
  }
  const changed = await patch({ "if-match": '"1"' });
  assert.deepEqual([changed.status, changed.headers.get("etag")], [200, '"2"']);
});

test("pages lead through a list to its end", async () => {
  await using api = await startApi();
  for (const text of ["a", "b", "c"]) await api.call("POST", "/api/notes", { body: { text } });

  const first = (await (await api.call("GET", "/api/notes?limit=2")).json()) as Record<string, unknown>;
  const next = await api.call("GET", `/api/notes?limit=2&cursor=${String(first["next_cursor"])}`);
  const second = (await next.json()) as Record<string, unknown>;

  assert.deepEqual([first["object"], first["has_more"]], ["list", true]);
  assert.deepEqual(
    [first, second].flatMap(({ data }) => (data as Note[]).map(({ text }) => text)),
    ["a", "b", "c"],
  );
  assert.deepEqual([second["has_more"], second["next_cursor"]], [false, null]);
});

const IDEMPOTENCY_KEY = { "idempotency-key": "0190c1e2-aaaa-7000-8000-000000000000" };

test("a create that is sent again with its Idempotency-Key is done once, and answered the same", async () => {
  await using api = await startApi();
  const create = (body: object, headers: object = IDEMPOTENCY_KEY): Promise<Response> =>
    api.call("POST", "/api/notes", { body, headers });

  const gate = Promise.withResolvers<void>();
  api.gate.open = gate.promise;
  const both = [create({ text: "a" }), create({ text: "a" })];
  const refused = await Promise.race(both);
  gate.resolve();
  const statuses = new Set((await Promise.all(both)).map(({ status }) => status));
  const again = await create({ text: "a" });

  assert.equal(refused.headers.get("retry-after"), "1");
  assert.deepEqual(statuses, new Set([201, 409]));
  assert.equal(again.status, 201);
  assert.equal(again.headers.get("idempotency-replayed"), "true");
  assert.equal(again.headers.get("location"), "/api/notes/note_1");
  assert.deepEqual(await again.json(), { id: "note_1", text: "a", version: 1 });
  assert.deepEqual(await refusal(await create({ text: "b" })), [422, "idempotency_key_reused", null]);
  assert.deepEqual(await refusal(await create({ text: "b" }, { "idempotency-key": "short" })), [
    400,
    "invalid_request",
    "Idempotency-Key",
  ]);
  assert.equal(api.notes.length, 1);
});

test("a create that failed is done when it is sent again, and another actor's key is another key", async () => {
  await using api = await startApi();
  const headers = IDEMPOTENCY_KEY;

  assert.equal((await api.call("POST", "/api/notes", { body: { text: "fail" }, headers })).status, 409);
  assert.equal((await api.call("POST", "/api/notes", { body: { text: "a" }, headers })).status, 201);
  assert.equal((await api.call("POST", "/api/notes", { as: "root", body: { text: "b" }, headers })).status, 201);
  assert.deepEqual(
    api.notes.map(({ text }) => text),
    ["a", "b"],
  );
});

test("a create whose hub died before it answered is not done a second time with its Idempotency-Key", async () => {
  await using api = await startApi();
  const create = (): Promise<Response> =>
    api.call("POST", "/api/notes", { body: { text: "a" }, headers: IDEMPOTENCY_KEY });
  await create();
  // As a process that was killed left it, a minute ago.
  const died = { answer: null, created_at_ms: Date.now() - IDEMPOTENCY_LIMITS.runningMs };
  await api.db.updateTable("idempotent_answers").set(died).execute();

  const again = await create();

  assert.equal(again.headers.get("retry-after"), null);
  assert.deepEqual(await refusal(again), [409, "conflict", null]);
  assert.equal(api.notes.length, 1);
});

test("nor is one whose database was lost as it committed", async () => {
  await using api = await startApi();
  const create = (): Promise<Response> =>
    api.call("POST", "/api/notes", { body: { text: "lost" }, headers: IDEMPOTENCY_KEY });

  const lost = await create();
  const again = await create();

  assert.deepEqual([lost.status, again.status], [500, 409]);
  assert.match(await lost.text(), /nobody knows whether it was done/);
  assert.equal(api.notes.length, 1);
});

test("an answer that is kept cannot be read from the database", async () => {
  await using api = await startApi();

  await api.call("POST", "/api/notes", { body: { text: "secret" }, headers: IDEMPOTENCY_KEY });

  const rows = await api.db.selectFrom("idempotent_answers").selectAll().execute();
  assert.equal(rows.length, 1);
  const kept = Buffer.from(rows[0]?.answer ?? "", "base64url").toString("latin1");
  assert.ok(kept.length > 30);
  assert.doesNotMatch(kept + JSON.stringify(rows), /secret|0190c1e2/);
});

test("whoever asks too often waits, and nobody else", async () => {
  await using api = await startApi({ burst: 1, perSecond: 1 });
  await api.call("GET", "/api/notes");
  await api.call("GET", "/api/notes", { as: "" });

  const known = await api.call("GET", "/api/notes");
  const nobody = await api.call("GET", "/api/nothing", { as: "" });

  assert.equal(known.headers.get("retry-after"), "1");
  assert.deepEqual(await refusal(known), [429, "rate_limit_exceeded", null]);
  assert.deepEqual(await refusal(nobody), [429, "rate_limit_exceeded", null]);
  assert.equal((await api.call("GET", "/api/notes", { as: "root" })).status, 200);
});

test("who changes too much waits with that alone, and whoever runs the hub does not", async () => {
  await using api = await startApi({}, { burst: 2, perSecond: 0.1 });
  const make = (as?: string): Promise<Response> =>
    api.call("POST", "/api/notes", { ...(as && { as }), body: { text: "note" } });
  const statuses: number[] = [];

  // What failed may have changed something; reading never does.
  await api.call("POST", "/api/notes", { body: {} });
  for (const _time of [1, 2]) statuses.push((await make()).status);
  const refused = await make();
  statuses.push((await api.call("GET", "/api/notes")).status);
  for (const _time of [1, 2, 3]) statuses.push((await make("root")).status);

  assert.deepEqual(statuses, [201, 429, 200, 201, 201, 201]);
  assert.equal(refused.headers.get("retry-after"), "10");
});

test("a fault of ours is told without its text, and logged with the request's id", async () => {
  await using api = await startApi();

  const response = await api.call("GET", "/api/broken", { as: "" });

  assert.equal(response.status, 500);
  assert.doesNotMatch(await response.text(), /secret text/);
  assert.deepEqual(api.log.messages, ["request failed by our own fault"]);
});

test("a database that takes nothing for now is told as that, to come back, and its place is in the log alone", async () => {
  await using api = await startApi();

  const response = await api.call("GET", "/api/locked", { as: "" });

  assert.equal(response.headers.get("retry-after"), "5");
  const { error } = (await response.json()) as { error: { code: string; message: string } };
  assert.deepEqual([response.status, error.code], [503, "overloaded"]);
  assert.doesNotMatch(error.message, /secret/);
  assert.deepEqual(api.log.messages, ["request failed by our own fault"]);
});

test("a streamed answer that fails breaks off, and never looks complete", async () => {
  await using api = await startApi();

  const response = await api.call("GET", "/api/cut", { as: "" });

  assert.equal(response.status, 200);
  await assert.rejects(response.text());
});

test("a streamed answer goes out piece by piece, and is given up when its reader goes away", async () => {
  await using api = await startApi();
  const leaving = new AbortController();

  const response = await fetch(`${api.url}/api/endless`, { signal: leaving.signal });
  const reader = response.body?.getReader();
  const first = await reader?.read();
  leaving.abort();

  assert.equal(new TextDecoder().decode(first?.value), "first\n");
  await api.given;
});

test("only what is below /api/ is the admin API's", () => {
  const paths = ["/api/users", "/join", "/join/ABCD", "/v1/models", "/apis", "/", "/api"];

  assert.deepEqual(
    paths.filter((path) => isAdminPath(path)),
    ["/api/users"],
  );
});
