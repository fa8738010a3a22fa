import assert from "node:assert/strict";
import { test } from "node:test";

import { startSimulatedEngine } from "@tokilake/tiny-engine";

import { eventually } from "./eventually.ts";
import { chatBody, HttpExchange, sseData } from "./http-exchange.ts";
import { Hub } from "./hub.ts";
import { Person } from "./person.ts";
import { RunningProcess, runProgram } from "./running-process.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { startWorker } from "./worker.ts";

const HUB = "packages/hub/src/main.ts";

interface Named {
  readonly id: string;
}

interface Secret extends Named {
  readonly secret: string;
}

for (const database of databases()) {
  test(
    `three people and two machines share what they have, on ${database.name}`,
    { skip: database.skip, timeout: 180_000 },
    async () => {
      await using closing = new AsyncDisposableStack();
      const dataDir = closing.use(await temporaryFolder()).path;
      const engines = {
        ada: closing.use(await startSimulatedEngine({ models: ["ada-model"] })),
        ben: closing.use(await startSimulatedEngine({ models: ["ben-model"] })),
      };
      const hub = closing.use(await Hub.start({ dataDir, env: database.env }));
      const tokilake = (...words: readonly string[]): Promise<string> =>
        runProgram({ name: "tokilake", script: HUB, args: [...words, "--data-dir", dataDir], env: database.env });

      // The operator sets the hub up with the link in its log, and invites three people to it with one code.
      const root = await Person.setUp(hub.url, await setUpToken(hub));
      const toHub = codeIn(await tokilake("invites", "create", "--uses", "3"));
      const ada = await Person.register(hub.url, "ada", toHub);
      const ben = await Person.register(hub.url, "ben", toHub);
      const eve = await Person.register(hub.url, "eve", toHub);
      await assert.rejects(Person.register(hub.url, "late", toHub), /POST \/api\/register gives 4/);

      // Ada has a machine. She makes a group, a key for the machine, and two invites.
      const group = (await ada.ask<Named>("POST /api/groups", { slug: "friends", name: "Friends" })).id;
      const machine = await ada.ask<Secret>("POST /api/keys", {
        kind: "worker",
        name: "gaming-pc",
        serve_groups: [group],
      });
      const adaHome = closing.use(await temporaryFolder()).path;
      closing.use(
        startWorker({
          hubUrl: hub.url,
          name: "gaming-pc",
          token: machine.secret,
          home: adaHome,
          models: { "ada-model": engines.ada.url },
        }),
      );
      const adaKey = await keyOf(ada, group);
      await hub.listing(adaKey, ["ada-model"]);
      const forProviders = await ada.ask<Secret>("POST /api/invites", { group_id: group, role: "provider" });

      // Ben joins with his machine: the worker asks, he says yes in the browser, and his key uses what Ada shares.
      const benHome = closing.use(await temporaryFolder()).path;
      const target = { url: engines.ben.url };
      const targets = JSON.stringify({ "ben-model": target, "ADA-Model": target });
      const env = { HOME: benHome, TOKIAME_MODEL_TARGETS: targets };
      const joining = closing.use(
        new RunningProcess({
          name: "tokiame join",
          script: "packages/worker/src/main.ts",
          args: ["join", linkAt(hub, forProviders.secret), "--namespace", "laptop"],
          env,
        }),
      );
      const userCode = await joining.findLine((line) => /#.*&machine=([\w-]+)/.exec(line)?.[1]);
      await ben.ask(`POST /api/device-joins/${userCode}/confirm`);
      assert.equal((await joining.exited).code, 0, joining.log);
      const laptop = closing.use(
        new RunningProcess({ name: "laptop", script: "packages/worker/src/main.ts", args: ["run"], env }),
      );
      const benKey = await keyOf(ben, group);
      await hub.listing(adaKey, ["ada-model", "ben-model"]);
      // Under a name that looks like Ada's he serves nobody, and his machine says so.
      await eventually("the laptop says what is not served", () =>
        Promise.resolve(laptop.log.includes("not served: ADA-Model in friends (somebody else keeps")),
      );
      assert.match(await answerOf(hub, benKey, "ada-model"), /\S/);
      assert.match(await answerOf(hub, adaKey, "ben-model"), /\S/);
      const { data: workers } = await ada.ask<{ readonly data: readonly { readonly name: string }[] }>(
        `GET /api/groups/${group}/workers`,
      );
      assert.deepEqual(new Set(workers.map(({ name }) => name)), new Set(["gaming-pc", "laptop"]));

      // Eve has an account, and none of it is hers: neither to see nor to use nor to serve.
      const eveGroup = (await eve.ask<Named>("POST /api/groups", { slug: "eves", name: "Eve's" })).id;
      const eveKey = await keyOf(eve, eveGroup);
      assert.deepEqual(await hub.models(eveKey), []);
      for (const model of ["ada-model", "ben-model"]) {
        const refused = await HttpExchange.whole(
          { baseURL: hub.baseURL, apiKey: eveKey },
          { body: { ...chatBody({}), model } },
        );
        assert.ok(refused.status === 404 || refused.status === 503, refused.text);
      }
      for (const path of [`/api/groups/${group}`, `/api/groups/${group}/members`, `/api/keys/${machine.id}`]) {
        assert.equal((await eve.try(`GET ${path}`)).status, 404, path);
      }
      assert.equal((await eve.try("POST /api/keys", { kind: "api", name: "theft", group_id: group })).status, 400);
      assert.equal((await eve.try("POST /api/invites/redeem", { code: forProviders.secret })).status, 410);

      // A second member comes in with a link of the command line, and the operator sees who did what.
      const link = await tokilake("invites", "create", "--group", "friends", "--note", "for Eve");
      await eve.ask("POST /api/invites/redeem", { code: codeIn(link) });
      const eveFriend = await keyOf(eve, group);
      assert.match(await answerOf(hub, eveFriend, "ada-model"), /\S/);

      // Ben is removed while an answer of his runs: it ends visibly, his machine serves nobody there, his key opens nothing.
      using running = await HttpExchange.open(
        { baseURL: hub.baseURL, apiKey: benKey },
        { body: { ...chatBody({ tokens: 100_000, intervalMs: 20 }, { stream: true }), model: "ada-model" } },
      );
      await running.until("data:");
      const bens = await ben.ask<Named>("GET /api/me");
      await ada.ask(`DELETE /api/groups/${group}/members/${bens.id}`);
      await running.ended;
      assert.match(running.text, /"error"/);
      assert.notEqual(sseData(running.text).at(-1), "[DONE]");
      await engines.ada.waitFor(({ active }) => active === 0);
      await hub.notListing(adaKey, ["ben-model"]);
      const out = await HttpExchange.whole(
        { baseURL: hub.baseURL, apiKey: benKey },
        { body: { ...chatBody({}), model: "ada-model" } },
      );
      assert.ok(out.status === 401 || out.status === 403, out.text);

      const { data: entries } = await root.ask<{ readonly data: readonly { readonly action: string }[] }>(
        "GET /api/audit?limit=100",
      );
      const actions = new Set(entries.map(({ action }) => action));
      for (const action of ["group.create", "invite.create", "key.create"]) assert.ok(actions.has(action), action);
      assert.ok(![machine.secret, toHub].some((secret) => JSON.stringify(entries).includes(secret)));
      assert.equal((await ada.try("GET /api/audit")).status, 403);
      assert.match(await tokilake("groups", "list"), /friends/);
      assert.match(await tokilake("users", "list"), /ada@example\.com/);
    },
  );
}

interface TestedDatabase {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  readonly skip: string | false;
}

/** PostgreSQL only where a server for tests runs; `.ci/run` starts one. */
function databases(): TestedDatabase[] {
  const url = process.env["TOKILAKE_TEST_POSTGRES_URL"];
  return [
    { name: "SQLite", env: {}, skip: false },
    {
      name: "PostgreSQL",
      env: { TOKILAKE_DATABASE_URL: url ?? "" },
      skip: url === undefined && "TOKILAKE_TEST_POSTGRES_URL names no server",
    },
  ];
}

async function setUpToken(hub: Hub): Promise<string> {
  const find = (): string | undefined => /\/set-up#([\w-]+)/.exec(hub.process.log)?.[1];
  await eventually("the log has the link", () => Promise.resolve(find() !== undefined));
  return find() ?? "";
}

/** Of a link such as http://hub/join#ABCD-…. */
function codeIn(link: string): string {
  return link.trim().split("#")[1] ?? "";
}

function linkAt(hub: Hub, code: string): string {
  return `${hub.url}/join#${code}`;
}

async function keyOf(person: Person, group: string): Promise<string> {
  const { secret } = await person.ask<Secret>("POST /api/keys", { kind: "api", name: "sdk", group_id: group });
  return secret;
}

async function answerOf(hub: Hub, apiKey: string, model: string): Promise<string> {
  const exchange = await HttpExchange.whole({ baseURL: hub.baseURL, apiKey }, { body: { ...chatBody({}), model } });
  assert.equal(exchange.status, 200, exchange.text);
  const { choices } = JSON.parse(exchange.text) as { choices: [{ message: { content: string } }] };
  return choices[0].message.content;
}
