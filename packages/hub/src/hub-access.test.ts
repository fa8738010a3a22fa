import assert from "node:assert/strict";
import { test } from "node:test";

import type { TunnelStream } from "@tokilake/tunnel";

import type { ModelClaims } from "./fleet/serving.ts";
import { Directory } from "./identity/directory.ts";
import { hashOfSecret } from "./identity/key-secret.ts";
import { MemoryAccessStore } from "./identity/memory-access-store.ts";
import { SilentLog } from "./observe/silent-log.ts";
import {
  answerJson,
  beginEvents,
  delta,
  resetOf,
  startTestHub,
  STOP,
  type TestHub,
  type TestWorkerOptions,
  writeEvent,
} from "./test-hub.ts";

const CHAT = "/v1/chat/completions";

/**
 * A hub whose keys come from a store: Ada owns `home` and is in `club`, which belongs to Bob; Zoe is in `club`. Each has a key
 * `sk-` and a worker key `wk-` and their name; Ada's falls back to `club`. Workers are `name`d as their owner.
 */
interface AccessHub extends AsyncDisposable {
  readonly hub: TestHub;
  readonly store: MemoryAccessStore;
  ask(secret: string, body: object, signal?: AbortSignal): Promise<Response>;
  /** The error's code, or what the answer says who gave it. */
  told(secret: string, body?: object): Promise<string>;
  modelsOf(secret: string): Promise<string>;
  /** A worker of the user that says its name to whatever it is asked. */
  serve(user: string, options?: TestWorkerOptions): ReturnType<TestHub["connect"]>;
}

const ADA = { ownerId: "ada", groupId: "home", fallbackGroupId: "club" } as const;

async function startAccessHub(claims?: ModelClaims): Promise<AccessHub> {
  const store = new MemoryAccessStore();
  for (const id of ["ada", "bob", "zoe"]) store.user(id);
  store.group("home", { ownerId: "ada", slug: "adas-home" });
  store.group("club", { ownerId: "bob" });
  store.membership("home", "ada", { role: "owner" });
  store.membership("club", "ada");
  store.membership("club", "bob", { role: "owner" });
  store.membership("club", "zoe");
  store.key("sk-ada", ADA);
  for (const id of ["bob", "zoe"]) store.key(`sk-${id}`, { ownerId: id, groupId: "club" });
  for (const id of ["ada", "bob", "zoe"]) store.key(`wk-${id}`, { ownerId: id });
  store.key("sk-operator");
  store.key("wk-operator");
  const directory = await Directory.open(store, { log: new SilentLog(), now: Date.now });
  const hub = await startTestHub({}, { keys: directory, ...(claims && { claims }) });
  const ask: AccessHub["ask"] = (secret, body, signal) =>
    hub.post(CHAT, body, { headers: { authorization: `Bearer ${secret}` }, ...(signal && { signal }) });
  return {
    hub,
    store,
    ask,
    told: async (secret, body = { model: "m" }) => {
      const answer = (await (await ask(secret, body)).json()) as { by?: string; error?: { code: string } };
      return answer.error?.code ?? answer.by ?? "";
    },
    modelsOf: async (secret) => {
      const response = await fetch(`${hub.url}/v1/models`, { headers: { authorization: `Bearer ${secret}` } });
      return ((await response.json()) as { data: { id: string }[] }).data.map(({ id }) => id).join(" ");
    },
    serve: (user, options = {}) =>
      hub.connect((stream) => answerJson(stream, { by: options.name ?? user }), {
        name: user,
        token: `wk-${user}`,
        ...options,
      }),
    [Symbol.asyncDispose]: async () => {
      await hub[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    },
  };
}

/** Everything that a change sets off has run: it takes microtasks only. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** A worker that begins each answer and never ends it; `begun` gives its streams in turn. */
async function serveForEver(
  { hub }: AccessHub,
  user: string,
  options: TestWorkerOptions = {},
): Promise<{ begun(): Promise<TunnelStream> }> {
  const streams: TunnelStream[] = [];
  const waiting: ((stream: TunnelStream) => void)[] = [];
  const serve = (stream: TunnelStream): void => {
    beginEvents(stream);
    writeEvent(stream, delta("a"));
    const next = waiting.shift();
    if (next === undefined) streams.push(stream);
    else next(stream);
  };
  await hub.connect(serve, { name: user, token: `wk-${user}`, ...options });
  return {
    begun: async () => {
      const stream = streams.shift();
      if (stream !== undefined) return stream;
      const { promise, resolve } = Promise.withResolvers<TunnelStream>();
      waiting.push(resolve);
      return promise;
    },
  };
}

test("each group has its own models: nobody else sees, lists or uses them, nor learns that they are there", async () => {
  await using world = await startAccessHub();
  await world.serve("ada", { models: ["m", "private"] });
  await world.serve("bob", { models: ["m", "shared"] });
  await world.serve("operator", { models: ["m", "house"] });

  assert.equal(await world.modelsOf("sk-ada"), "m private shared");
  assert.equal(await world.modelsOf("sk-zoe"), "m shared");
  assert.equal(await world.modelsOf("sk-operator"), "house m");
  assert.deepEqual(
    [await world.told("sk-ada"), await world.told("sk-zoe"), await world.told("sk-operator")],
    ["ada", "bob", "operator"],
  );
  const hidden = await world.ask("sk-zoe", { model: "private" });
  const missing = await world.ask("sk-zoe", { model: "nothing" });
  assert.deepEqual([hidden.status, missing.status], [404, 404]);
  assert.equal((await hidden.text()).replace("private", "nothing"), await missing.text());
  const one = await fetch(`${world.hub.url}/v1/models/private`, { headers: { authorization: "Bearer sk-zoe" } });
  assert.equal(one.status, 404);
});

test("a model that left a group is offline there, and still unknown in others", async () => {
  await using world = await startAccessHub();
  const worker = await world.serve("ada", { models: ["private"] });
  await world.serve("ada", { name: "other", models: ["m"] });
  await world.serve("bob");

  await worker.drain({ graceMs: 1_000 });
  let code = "";
  // The worker knows that it left before the hub does.
  for (let tries = 0; code !== "no_worker" && tries < 100; tries += 1) {
    code = await world.told("sk-ada", { model: "private" });
  }

  assert.equal(code, "no_worker");
  assert.equal(await world.told("sk-zoe", { model: "private" }), "model_not_found");
});

test("a request goes to the second group when the first does not serve it, has no room, or has failed", async () => {
  await using world = await startAccessHub();
  const home = await serveForEver(world, "ada", { slots: 1, models: ["m"] });
  await world.serve("bob", { models: ["m", "shared", "broken"] });
  await world.hub.connect((stream) => stream.reset("target-unreachable", { retrySafe: true }), {
    name: "broken",
    token: "wk-ada",
    models: ["broken"],
  });

  const first = await world.ask("sk-ada", { model: "m", stream: true });
  await home.begun();

  assert.equal(await world.told("sk-ada", { model: "shared" }), "bob");
  assert.equal(await world.told("sk-ada", { model: "m" }), "bob");
  assert.equal(await world.told("sk-ada", { model: "broken" }), "bob");
  await first.body?.cancel();
});

test("who is removed from a group mid-stream is told so: the answer ends without [DONE], and its engine stops", async () => {
  await using world = await startAccessHub();
  const club = await serveForEver(world, "bob");
  const response = await world.ask("sk-zoe", { model: "m", stream: true });
  const stream = await club.begun();

  world.store.membership("club", "zoe", { status: "removed" });
  // The engine goes on for ever: this ends only because of the line above.
  const text = await response.text();

  assert.match(text, /"code":"not_a_member"/);
  assert.doesNotMatch(text, /\[DONE\]/);
  await resetOf(stream);
  assert.equal(await world.told("sk-zoe"), "not_a_member");
  assert.equal((await world.ask("sk-zoe", { model: "m" })).status, 401);
});

test("who loses only the second group goes on in the first", async () => {
  await using world = await startAccessHub();
  const home = await serveForEver(world, "ada", { models: ["own"] });
  const club = await serveForEver(world, "bob", { models: ["shared"] });
  const own = await world.ask("sk-ada", { model: "own", stream: true });
  const shared = await world.ask("sk-ada", { model: "shared", stream: true });
  const goesOn = await home.begun();
  await club.begun();

  world.store.membership("club", "ada", { status: "removed" });
  const cut = await shared.text();
  writeEvent(goesOn, STOP);
  writeEvent(goesOn, "[DONE]");
  goesOn.end();

  assert.match(cut, /"code":"not_a_member"/);
  assert.match(await own.text(), /\[DONE\]/);
  assert.equal(await world.told("sk-ada", { model: "shared" }), "model_not_found");
});

test("a disabled user's streams end and their workers are gone, whatever key they use", async () => {
  await using world = await startAccessHub();
  const home = await serveForEver(world, "ada", { models: ["m"] });
  await world.serve("bob", { models: ["shared"] });
  const response = await world.ask("sk-ada", { model: "m", stream: true });
  await home.begun();

  world.store.user("ada", { isDisabled: true });
  const text = await response.text();

  assert.match(text, /"code":"account_deactivated"/);
  assert.equal(await world.told("sk-ada"), "account_deactivated");
  await assert.rejects(world.serve("ada"), /auth/);
});

test("a key that expires mid-stream ends its stream at that time", async () => {
  await using world = await startAccessHub();
  world.store.key("sk-short", { ownerId: "zoe", groupId: "club", expiresAtMs: Date.now() + 400 });
  await settled();
  const club = await serveForEver(world, "bob");
  const response = await world.ask("sk-short", { model: "m", stream: true });
  await club.begun();

  const text = await response.text();

  assert.match(text, /"code":"invalid_api_key"/);
  assert.match(text, /has expired/);
});

test("a group that is deleted ends what runs in it", async () => {
  await using world = await startAccessHub();
  const club = await serveForEver(world, "bob");
  const response = await world.ask("sk-zoe", { model: "m", stream: true });
  await club.begun();

  world.store.group("club", { ownerId: "bob", isDeleted: true });

  assert.match(await response.text(), /"code":"not_a_member"/);
  assert.equal(await world.modelsOf("sk-ada"), "");
});

test("a worker of a removed provider serves the group no more: what runs there fails, what has not begun goes elsewhere", async () => {
  await using world = await startAccessHub();
  world.store.membership("club", "zoe", { role: "provider" });
  await settled();
  const zoes = await serveForEver(world, "zoe", { models: ["only-zoe"] });
  const asked = Promise.withResolvers<TunnelStream>();
  const silent = await world.hub.connect(asked.resolve, { name: "silent", token: "wk-zoe", models: ["both"] });
  const running = await world.ask("sk-ada", { model: "only-zoe", stream: true });
  await zoes.begun();
  const waiting = world.told("sk-ada", { model: "both" });
  const given = await asked.promise;
  await world.serve("bob", { models: ["both"] });

  world.store.membership("club", "zoe", { role: "member" });

  assert.match(await running.text(), /"code":"worker_lost"/);
  assert.equal(await waiting, "bob");
  await resetOf(given);
  assert.equal(await world.modelsOf("sk-ada"), "both");
  assert.equal(silent.state.is, "connected", "it may serve elsewhere, and here again");
  world.store.membership("club", "zoe", { role: "provider" });
  await settled();
  assert.equal(await world.modelsOf("sk-ada"), "both only-zoe");
});

test("a worker serves the groups that it names, also when one of them gets another name", async () => {
  await using world = await startAccessHub();
  world.store.membership("club", "ada", { role: "provider" });
  await settled();
  await world.serve("ada", { models: ["named"], groups: ["adas-home"] });
  await world.serve("ada", { name: "both", models: ["both"] });

  const before = [await world.modelsOf("sk-ada"), await world.modelsOf("sk-zoe")];
  world.store.group("home", { ownerId: "ada", slug: "another-name" });
  await settled();
  const after = await world.modelsOf("sk-ada");

  assert.deepEqual(before, ["both named", "both"]);
  assert.equal(after, "both named");
});

test("a worker key serves only the models that it may", async () => {
  await using world = await startAccessHub();
  world.store.key("wk-ada", { ownerId: "ada", rules: { serveModels: ["llama*"] } });
  await settled();
  await world.serve("ada", { models: ["llama3", "secret-experiment"] });
  const before = await world.modelsOf("sk-ada");

  world.store.key("wk-ada", { ownerId: "ada", rules: { serveModels: ["*"] } });
  await settled();

  assert.deepEqual([before, await world.modelsOf("sk-ada")], ["llama3", "llama3 secret-experiment"]);
});

test("two owners may call their workers the same; two keys of one owner may not", async () => {
  await using world = await startAccessHub();
  world.store.key("wk-ada2", { ownerId: "ada" });
  await settled();
  await world.serve("ada", { name: "pc", models: ["own"] });
  await world.serve("bob", { name: "pc", models: ["shared"] });

  await assert.rejects(world.serve("ada2", { name: "pc" }), /name-taken/);

  assert.equal(await world.modelsOf("sk-ada"), "own shared");
});

test("when an old secret's time is over, the tunnels that it opened end; those of the new one stay", async () => {
  await using world = await startAccessHub();
  const rotated = { ownerId: "bob", hash: hashOfSecret("wk-bob-new") };
  const old = { hash: hashOfSecret("wk-bob"), untilMs: Date.now() + 300 };
  world.store.key("wk-bob", { ...rotated, previous: old });
  await settled();
  const ended = Promise.withResolvers<unknown>();
  const byOld = await serveForEver(world, "bob", { name: "old", models: ["m"] });
  await world.serve("bob", { name: "new", token: "wk-bob-new", models: ["n"] });
  const running = await world.ask("sk-zoe", { model: "m", stream: true });
  void resetOf(await byOld.begun()).then(ended.resolve);

  await ended.promise;

  assert.match(await running.text(), /"code":"worker_lost"/);
  assert.equal(await world.told("sk-zoe", { model: "n" }), "new");
  assert.equal(await world.modelsOf("sk-zoe"), "n");
  await assert.rejects(world.serve("bob", { name: "again" }), /auth/);
});

test("a tunnel that was open before its key was rotated ends with the old secret, at once when that has no more time", async () => {
  await using world = await startAccessHub();
  const byOld = await serveForEver(world, "bob", { name: "old", models: ["m"] });
  const running = await world.ask("sk-zoe", { model: "m", stream: true });
  const ended = resetOf(await byOld.begun());

  world.store.key("wk-bob", { ownerId: "bob", hash: hashOfSecret("wk-bob-new"), previous: undefined });
  await ended;

  assert.match(await running.text(), /"code":"worker_lost"/);
  await assert.rejects(world.serve("bob", { name: "again" }), /auth/);
});

test("a client key at the tunnel and a worker key at the API open nothing", async () => {
  await using world = await startAccessHub();
  await world.serve("bob");

  await assert.rejects(
    world.hub.connect(() => {}, { token: "sk-zoe" }),
    /auth/,
  );
  const response = await world.ask("wk-zoe", { model: "m" });

  assert.equal(response.status, 401);
  assert.match(await response.text(), /This is a worker key/);
});

test("a key that is bound to addresses opens the door from there alone", async () => {
  await using world = await startAccessHub();
  await world.serve("bob");
  world.store.key("sk-near", { ownerId: "zoe", groupId: "club", rules: { addresses: ["127.0.0.0/8"] } });
  world.store.key("sk-far", { ownerId: "zoe", groupId: "club", rules: { addresses: ["192.0.2.0/24"] } });
  world.store.key("wk-far", { ownerId: "bob", rules: { addresses: ["192.0.2.1"] } });
  await settled();

  assert.equal(await world.told("sk-near"), "bob");
  assert.equal(await world.told("sk-far"), "ip_not_authorized");
  assert.equal((await world.ask("sk-far", { model: "m" })).status, 401);
  await assert.rejects(world.serve("far"), /auth/);
});

test("a key with a list of models lists and uses those, and is told so of others, served or not", async () => {
  await using world = await startAccessHub();
  await world.serve("bob", { models: ["llama3", "other"] });
  world.store.key("sk-zoe", { ownerId: "zoe", groupId: "club", rules: { models: ["llama*"] } });
  await settled();

  assert.equal(await world.modelsOf("sk-zoe"), "llama3");
  assert.equal(await world.told("sk-zoe", { model: "llama3" }), "bob");
  const served = await world.ask("sk-zoe", { model: "other" });
  const missing = await world.ask("sk-zoe", { model: "never" });
  assert.deepEqual([served.status, missing.status], [404, 404]);
  const text = await served.text();
  assert.match(text, /may not use the model/);
  assert.equal(text.replace("other", "never"), await missing.text());
});

test("a key asks only the workers and owners that it is pinned to, and lists what those serve", async () => {
  await using world = await startAccessHub();
  world.store.membership("club", "zoe", { role: "provider" });
  await settled();
  await world.serve("bob", { models: ["m", "only-bob"] });
  await world.serve("zoe", { models: ["m", "only-zoe"] });
  const pinned = async (pins: object): Promise<string[]> => {
    world.store.key("sk-zoe", { ownerId: "zoe", groupId: "club", rules: pins });
    await settled();
    return [await world.told("sk-zoe"), await world.told("sk-zoe"), await world.modelsOf("sk-zoe")];
  };

  assert.deepEqual(await pinned({ owners: ["zoe"] }), ["zoe", "zoe", "m only-zoe"]);
  assert.deepEqual(await pinned({ excludeOwners: ["zoe"] }), ["bob", "bob", "m only-bob"]);
  assert.deepEqual(await pinned({ workers: ["bob"] }), ["bob", "bob", "m only-bob"]);
  assert.deepEqual(await pinned({ excludeWorkers: ["bob", "zoe"] }), ["no_worker", "no_worker", ""]);
  const response = await world.ask("sk-zoe", { model: "m" });
  assert.equal(response.status, 503);
  assert.match(await response.text(), /not among those that this API key asks for/);
});

test("a key that used up its requests is told when to come again, and how much it has", async () => {
  await using world = await startAccessHub();
  // What the engine says of its own limits is not meant for the client.
  const headers = [
    ["content-type", "application/json"],
    ["x-ratelimit-limit-requests", "9"],
  ] as const;
  await world.hub.connect(
    (stream) => {
      stream.respond({ status: 200, headers });
      stream.write(Buffer.from('{"by":"bob"}'));
      stream.end();
    },
    { token: "wk-bob" },
  );
  world.store.key("sk-zoe", { ownerId: "zoe", groupId: "club", rules: { limits: { requestsPerMinute: 2 } } });
  await settled();

  const answers = [];
  for (let n = 0; n < 3; n += 1) answers.push(await world.ask("sk-zoe", { model: "m" }));

  assert.deepEqual(
    answers.map(({ status, headers }) => [
      status,
      headers.get("x-ratelimit-limit-requests"),
      headers.get("x-ratelimit-remaining-requests"),
      headers.get("retry-after"),
    ]),
    [
      [200, "2", "1", null],
      [200, "2", "0", null],
      [429, "2", "0", "30"],
    ],
  );
  assert.match((await answers[2]?.text()) ?? "", /"code":"rate_limit_exceeded"/);
  const unlimited = await world.ask("sk-ada", { model: "m" });
  assert.equal(unlimited.headers.get("x-ratelimit-limit-requests"), "9");
});

test("tokens are counted when the answer has them, over all keys of a member in the group", async () => {
  await using world = await startAccessHub();
  const usage = { prompt_tokens: 60, completion_tokens: 60, total_tokens: 120 };
  await world.hub.connect((stream) => answerJson(stream, { by: "bob", usage }), { name: "bob", token: "wk-bob" });
  world.store.membership("club", "zoe", { limits: { tokensPerMinute: 50 } });
  world.store.key("sk-zoe2", { ownerId: "zoe", groupId: "club" });
  await settled();

  const codes = [await world.told("sk-zoe"), await world.told("sk-zoe2"), await world.told("sk-bob")];

  assert.deepEqual(codes, ["bob", "rate_limit_exceeded", "bob"]);
});

test("a group's limit of requests at the same time holds for each member over all of their keys", async () => {
  await using world = await startAccessHub();
  const club = await serveForEver(world, "bob");
  world.store.group("club", { ownerId: "bob", memberLimits: { concurrency: 1 } });
  world.store.key("sk-zoe2", { ownerId: "zoe", groupId: "club" });
  await settled();
  const client = new AbortController();
  const first = await world.ask("sk-zoe", { model: "m", stream: true }, client.signal);
  const stream = await club.begun();

  const refused = await world.ask("sk-zoe2", { model: "m", stream: true });
  const others = await world.ask("sk-bob", { model: "m", stream: true });
  client.abort();
  await resetOf(stream);
  let again = await world.ask("sk-zoe2", { model: "m", stream: true });
  // The engine hears of it a moment before the books do.
  for (let tries = 0; again.status === 429 && tries < 100; tries += 1) {
    again = await world.ask("sk-zoe2", { model: "m", stream: true });
  }

  assert.deepEqual([first.status, refused.status, others.status, again.status], [200, 429, 200, 200]);
  await Promise.all([others.body?.cancel(), again.body?.cancel()]);
});

test("a member's limit in the second group holds also for what overflows from the first", async () => {
  await using world = await startAccessHub();
  await serveForEver(world, "ada", { slots: 1, models: ["m"] });
  const club = await serveForEver(world, "bob", { models: ["m"] });
  world.store.membership("club", "ada", { limits: { concurrency: 1 } });
  await settled();
  const home = await world.ask("sk-ada", { model: "m", stream: true });
  const overflow = await world.ask("sk-ada", { model: "m", stream: true });
  await club.begun();
  const client = new AbortController();

  // One runs in each; the third must wait for the first group, as it is kept out of the second.
  const third = world.ask("sk-ada", { model: "m", stream: true }, client.signal);
  const extra = await Promise.race([club.begun(), new Promise((resolve) => setTimeout(resolve, 200, "none"))]);

  assert.equal(extra, "none");
  client.abort();
  await assert.rejects(third);
  await Promise.all([home.body?.cancel(), overflow.body?.cancel()]);
});

test("a model name that somebody else keeps in the group is not routed to who came second, until it is free", async () => {
  const keepers = new Map([["m", "bob"]]);
  const asked: string[] = [];
  await using world = await startAccessHub({
    claim: async ({ groupId, ownerId, models }) => {
      asked.push(`${groupId} ${ownerId} ${models.join()}`);
      const isTheirs = (model: string): boolean => (keepers.get(model) ?? ownerId) === ownerId;
      return {
        allowed: models.filter(isTheirs),
        taken: models.filter((model) => !isTheirs(model)),
        tooMany: [],
        misleading: [],
      };
    },
  });
  world.store.membership("club", "zoe", { role: "provider" });
  await settled();
  await world.serve("zoe", { models: ["m", "own"] });
  await world.serve("operator");
  await settled();

  const before = [await world.modelsOf("sk-bob"), await world.modelsOf("sk-operator")];
  keepers.clear();
  world.store.group("club", { ownerId: "bob" });
  let after = "";
  // A worker's names are claimed at most four times a second.
  for (let tries = 0; after !== "m own" && tries < 1_000; tries += 1) after = await world.modelsOf("sk-bob");

  assert.deepEqual(before, ["own", "m"]);
  assert.equal(after, "m own");
  assert.deepEqual(asked, ["club zoe m,own", "club zoe m,own"]);
  assert.match(world.hub.log.messages.join("\n"), /a worker offers models that it may not serve there/);
});

test("a worker is told which of its models are not served where, and again when that changes, but of nobody else", async () => {
  const taken = new Set(["m"]);
  await using world = await startAccessHub({
    claim: async ({ models }) => {
      await settled();
      const isFree = (model: string): boolean => !taken.has(model);
      const refused = models.filter((model) => !isFree(model));
      return { allowed: models.filter(isFree), taken: refused, tooMany: [], misleading: [] };
    },
  });
  world.store.membership("club", "zoe", { role: "provider" });
  world.store.group("plaza", { kind: "public", ownerId: undefined, slug: "the-plaza" });
  await settled();
  const told: unknown[] = [];
  const waiting: (() => void)[] = [];
  const onNotice = (details: unknown): void => {
    told.push(details);
    waiting.shift()?.();
  };
  const next = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));

  const first = next();
  await world.serve("zoe", { models: ["m", "own"], groups: ["club", "adas-home", "the-plaza"], onNotice });
  await first;
  const second = next();
  taken.clear();
  world.store.membership("plaza", "zoe", { role: "provider" });
  await second;

  const refused = [{ why: "taken", count: 1, models: ["m"] }];
  const hidden = { group: "adas-home", why: "not-allowed" };
  assert.deepEqual(told, [
    {
      kind: "served",
      groups: [hidden, { group: "club", served: 1, refused }, { group: "the-plaza", why: "not-approved" }],
    },
    {
      kind: "served",
      groups: [hidden, { group: "club", served: 2, refused: [] }, { group: "the-plaza", served: 2, refused: [] }],
    },
  ]);
});
