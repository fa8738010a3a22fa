import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { startSimulatedEngine } from "@tokilake/tiny-engine";

import { eventually } from "./eventually.ts";
import { chatBody, chatText, HttpExchange, simulatedText, sseData } from "./http-exchange.ts";
import { createKey, Hub } from "./hub.ts";
import { Person } from "./person.ts";
import { RunningProcess, runProgram } from "./running-process.ts";
import { temporaryFolder } from "./temporary-folder.ts";

interface Named {
  readonly id: string;
}

interface Secret {
  readonly secret: string;
}

/** One that only its end by the hub ends. */
const ENDLESS = chatBody({ tokens: 100_000, intervalMs: 10 }, { stream: true });

test("Ada shares her GPU with Bob by two links, and with nobody else", { timeout: 120_000 }, async (t) => {
  await using closing = new AsyncDisposableStack();
  const folder = closing.use(await temporaryFolder()).path;
  const dataDir = join(folder, "hub");
  const root = {
    TOKILAKE_ADMIN_EMAIL: "root@example.com",
    TOKILAKE_ADMIN_PASSWORD: "a password that nobody uses here",
  };
  const hub = closing.use(await Hub.start({ dataDir, env: root }));
  const engine = closing.use(await startSimulatedEngine({ models: ["simulated"] }));

  const inviteToHub = async (): Promise<string> => {
    const args = ["invites", "create", "--data-dir", dataDir];
    const link = await runProgram({ name: "tokilake invites", script: "packages/hub/src/main.ts", args });
    return new URL(link.trim()).hash.slice(1);
  };
  const ada = await Person.register(hub.url, "ada", await inviteToHub());
  const group = await ada.ask<Named>("POST /api/groups", { slug: "friends", name: "Friends" });
  const invite = (input: object): Promise<Secret> => ada.ask("POST /api/invites", { group_id: group.id, ...input });

  // The machine: a link, a yes, a key.
  const { secret: forMachine } = await invite({ role: "provider" });
  const machine = { HOME: folder, TOKIAME_NAMESPACE: "" };
  const joining = closing.use(
    new RunningProcess({
      name: "tokiame join",
      script: "packages/worker/src/main.ts",
      args: ["join", `${hub.url}/join#${forMachine}`, "--namespace", "gaming-pc"],
      env: machine,
    }),
  );
  const userCode = await joining.findLine((line) => /say yes to the code (\S+):/.exec(line)?.[1]);
  const seen = await ada.ask<{ readonly machine: string }>(`GET /api/device-joins/${userCode}`);
  await ada.ask(`POST /api/device-joins/${userCode}/confirm`);
  const { code } = await joining.exited;
  assert.deepEqual([seen.machine, code], ["gaming-pc", 0], joining.log);
  closing.use(
    new RunningProcess({
      name: "tokiame",
      script: "packages/worker/src/main.ts",
      args: ["run"],
      env: { ...machine, TOKIAME_MODEL_TARGETS: JSON.stringify({ simulated: { url: engine.url } }) },
    }),
  );

  // The friend: a link, a key, an answer.
  const { secret: forBob } = await invite({});
  const bob = await Person.register(hub.url, "bob", forBob);
  const bobs = await bob.ask<Secret>("POST /api/keys", { kind: "api", name: "laptop", group_id: group.id });
  await hub.listing(bobs.secret, ["simulated"]);
  const access = { baseURL: hub.baseURL, apiKey: bobs.secret };
  const answer = await HttpExchange.whole(access, { body: chatBody({ tokens: 5 }, { stream: true }) });
  assert.equal(chatText(answer.text), simulatedText(5));
  const { data: workers } = await bob.ask<{ readonly data: readonly object[] }>(`GET /api/groups/${group.id}/workers`);
  assert.deepEqual(
    workers.map((worker) => ({ ...worker, id: "", connected_at_ms: 0, owner_id: "", running: 0 })),
    [
      {
        object: "group_worker",
        id: "",
        name: "gaming-pc",
        owner_id: "",
        owner_name: "ada",
        node_name: null,
        connected_at_ms: 0,
        models: ["simulated"],
        running: 0,
        slots: 64,
      },
    ],
  );

  await t.test("nobody else: not the operator's keys, nor another user's, whatever group they name", async () => {
    const operators = await createKey(dataDir, "api", "operator");
    const cyd = await Person.register(hub.url, "cyd", await inviteToHub());
    const own = await cyd.ask<Named>("POST /api/groups", { slug: "cyds", name: "Cyd's" });
    const cyds = await cyd.ask<Secret>("POST /api/keys", { kind: "api", name: "x", group_id: own.id });
    const stolen = await cyd.try("POST /api/keys", { kind: "api", name: "x", group_id: group.id });

    assert.equal(stolen.status, 400);
    assert.deepEqual(await hub.models(operators), []);
    assert.deepEqual(await hub.models(cyds.secret), []);
    const asked = await HttpExchange.whole({ ...access, apiKey: cyds.secret }, { body: chatBody() });
    // Her own group has no worker at all.
    assert.equal(asked.status, 503);
    assert.equal((await cyd.try(`GET /api/groups/${group.id}`)).status, 404);
    assert.equal((await cyd.try("POST /api/invites/redeem", { code: forBob })).status, 410);
  });

  await t.test("when Ada removes Bob his answer ends with a clear error, and his key is refused", async () => {
    const { id: bobsId } = await bob.ask<Named>("GET /api/me");
    const cut = await HttpExchange.open(access, { body: ENDLESS });
    await cut.until("token-3");
    const { cancelled } = engine.counts();

    await ada.ask(`DELETE /api/groups/${group.id}/members/${bobsId}`);
    await cut.ended;

    assert.match(sseData(cut.text).at(-1) ?? "", /not_a_member/);
    assert.ok(!cut.text.includes("[DONE]"));
    await engine.waitFor((counts) => counts.cancelled === cancelled + 1);
    const again = await HttpExchange.whole(access, { body: chatBody() });
    assert.equal(again.status, 401);
    assert.match(again.text, /not_a_member/);
    assert.equal((await bob.try("POST /api/invites/redeem", { code: forBob })).status, 410);
  });

  await t.test("when the group is deleted its worker serves nobody, and its keys say why", async () => {
    const adas = await ada.ask<Secret>("POST /api/keys", { kind: "api", name: "own", group_id: group.id });
    await hub.listing(adas.secret, ["simulated"]);
    const preview = await ada.ask<object>(`GET /api/groups/${group.id}/deletion-preview`);

    // Nothing changed the group since it was made.
    await ada.ask(`DELETE /api/groups/${group.id}`, undefined, { "if-match": '"1"' });

    const { members, keys, workers } = { members: 0, keys: 0, workers: [], ...preview };
    assert.deepEqual([members, keys, workers], [1, 2, ["gaming-pc"]]);
    await eventually("the key is refused", async () => {
      const refused = await HttpExchange.whole({ ...access, apiKey: adas.secret }, { body: chatBody() });
      return refused.status === 401 && refused.text.includes("not_a_member");
    });
  });
});
