import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { startServer } from "../serving/test-engine.ts";
import { tokiame } from "../tokiame.ts";

const KEY = `wk-${"x".repeat(43)}`;
const CODE = "7H2K-9QXM-0B3C-V8TZ";
const STARTED = { secret: "s3cret", user_code: "AB12-CD34", expires_at_ms: 0, poll_ms: 1, link: "http://elsewhere/" };
const GROUP = { id: "group_1", slug: "friends", name: "Friends" };
const JOINED = { state: "joined", key_id: "key_1", secret: KEY, group: GROUP };

interface Asked {
  readonly path: string;
  readonly body: unknown;
  readonly authorization: string | undefined;
}

type Answer = readonly [status: number, body: object, headers?: Readonly<Record<string, string>>];

test("a machine joins when its person says yes, and its key is kept for its owner alone", async () => {
  await using hub = await startHub({
    "/api/invites/join-worker": [[201, STARTED]],
    "/api/device-joins/poll": [
      [200, { state: "waiting", poll_ms: 1 }],
      [429, {}, { "retry-after": "0" }],
      [200, JOINED],
    ],
  });
  await using home = await startHome();

  const ran = await home.run(["join", `${hub.url}join#${CODE}`]);

  assert.equal(ran.error, "");
  assert.equal(ran.code, 0);
  // The address that this machine reaches, not the one that the hub has for itself.
  assert.ok(ran.out.includes(`  ${hub.url}join#${CODE}&machine=AB12-CD34\n`));
  assert.match(ran.out, /say yes to the code AB12-CD34/);
  assert.match(
    ran.out,
    /Joined the group friends as gaming-pc\..*\nStart with: tokiame \(in a clone .*: npm run -s worker\)\n$/,
  );
  assert.ok(!ran.out.includes(KEY));
  assert.deepEqual(
    hub.asked.map(({ path, body }) => [path, body]),
    [
      ["/api/invites/join-worker", { code: CODE, machine: "gaming-pc" }],
      ["/api/device-joins/poll", { secret: "s3cret" }],
      ["/api/device-joins/poll", { secret: "s3cret" }],
      ["/api/device-joins/poll", { secret: "s3cret" }],
    ],
  );
  const file = join(home.path, ".tokilake", "tokiame.json");
  assert.deepEqual(JSON.parse(await readFile(file, "utf8")), {
    gateway_url: `ws://${new URL(hub.url).host}`,
    token: KEY,
    namespace: "gaming-pc",
  });
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await stat(join(home.path, ".tokilake"))).mode & 0o777, 0o700);
});

test("with an access token it joins at once, whether the token is in a file or a variable", async () => {
  for (const inFile of [true, false]) {
    await using hub = await startHub({ "/api/invites/redeem-worker": [[201, JOINED]] });
    await using home = await startHome();
    await writeFile(join(home.path, "pat"), "pat-good\n");
    const given = inFile ? ["--token-file", join(home.path, "pat")] : [];
    const env = inFile ? {} : { TOKIAME_ACCESS_TOKEN: "pat-good" };

    const ran = await home.run(["join", `${hub.url}join/${CODE}`, "--namespace", "rack", ...given], env);

    assert.deepEqual([ran.code, ran.error], [0, ""]);
    assert.deepEqual(hub.asked, [
      {
        path: "/api/invites/redeem-worker",
        body: { code: CODE, machine: "rack" },
        authorization: "Bearer pat-good",
      },
    ]);
  }
});

test("a file keeps what it has, and a key that it has is not lost", async () => {
  await using hub = await startHub({ "/api/invites/redeem-worker": [[201, JOINED]] });
  await using home = await startHome();
  const file = join(home.path, "worker.json");
  await writeFile(file, JSON.stringify({ max_concurrent: 2, namespace: "attic" }));
  const env = { TOKIAME_ACCESS_TOKEN: "pat-good" };
  const args = ["join", `${hub.url}join#${CODE}`, "--config", file];

  const first = await home.run(args, env);
  const second = await home.run(args, env);

  assert.deepEqual(
    [first.code, second.code, hub.asked.length],
    [0, 2, 1],
    "the hub is not asked for a key that could not be kept",
  );
  assert.match(second.error, /worker\.json has a token already; to join another hub, name another file with --config/);
  assert.deepEqual(JSON.parse(await readFile(file, "utf8")), {
    max_concurrent: 2,
    namespace: "attic",
    gateway_url: `ws://${new URL(hub.url).host}`,
    token: KEY,
  });
  assert.deepEqual(
    (await readdir(home.path)).filter((name) => name.startsWith("worker.json")),
    ["worker.json"],
  );
});

test("what the hub refuses is said in its words, with an exit code of its own", async () => {
  const cases: readonly (readonly [answer: Answer, code: number, text: RegExp, token?: string])[] = [
    [[404, refusal("There is no invite with this code.")], 6, /^tokiame: There is no invite with this code\n$/],
    [[410, refusal("This invite has expired.\u001b[2J")], 6, /^tokiame: This invite has expired\. \[2J\n$/],
    [[401, refusal("Sign in first.")], 4, /does not take the access token/, "pat-bad"],
    [[404, {}], 6, /answered 404; is this the address of a Tokilake hub\?/],
    [[201, { odd: true }], 7, /in a way that is not understood; update hub and worker/],
    [[302, {}, { location: "https://elsewhere.example/" }], 6, /answered 302/],
  ];

  for (const [answer, code, text, token] of cases) {
    const path = token === undefined ? "/api/invites/join-worker" : "/api/invites/redeem-worker";
    await using hub = await startHub({ [path]: [answer] });
    await using home = await startHome();

    const ran = await home.run(
      ["join", `${hub.url}join#${CODE}`],
      token === undefined ? {} : { TOKIAME_ACCESS_TOKEN: token },
    );

    assert.equal(ran.code, code, ran.error);
    assert.match(ran.error, text);
    assert.deepEqual(await readdir(home.path), []);
  }
});

test("a no, and an answer that never comes, end the waiting", async () => {
  const start = { "/api/invites/join-worker": [[201, STARTED]] } as const;
  await using refusing = await startHub({ ...start, "/api/device-joins/poll": [[200, { state: "refused" }]] });
  await using over = await startHub({
    ...start,
    "/api/device-joins/poll": [[404, refusal("Nobody said yes in time.")]],
  });
  await using waiting = await startHub({
    "/api/invites/join-worker": [[201, { ...STARTED, poll_ms: 3_600_000 }]],
  });
  await using home = await startHome();

  const no = await home.run(["join", `${refusing.url}join#${CODE}`]);
  const late = await home.run(["join", `${over.url}join#${CODE}`]);
  const running = home.start(["join", `${waiting.url}join#${CODE}`]);
  await running.printed("Waiting");
  running.stop();
  const stopped = await running.ran;

  assert.match(no.error, /the answer was no/);
  assert.match(late.error, /Nobody said yes in time/);
  assert.match(stopped.error, /stopped; nobody had said yes/);
  assert.deepEqual([no.code, late.code, stopped.code], [6, 6, 6]);
});

test("a hub that is away for a moment while a machine waits is asked again", async () => {
  await using hub = await startHub({
    "/api/invites/join-worker": [[201, STARTED]],
    "/api/device-joins/poll": ["hang up", [200, JOINED]],
  });
  await using home = await startHome();

  const ran = await home.run(["join", `${hub.url}join#${CODE}`]);

  assert.deepEqual([ran.code, ran.error], [0, ""]);
});

test("a hub that is not there, no link, and a file that is none are said before anything is made", async () => {
  await using home = await startHome();
  await writeFile(join(home.path, "list.json"), "[]");
  await mkdir(join(home.path, "folder.json"));
  const link = `http://127.0.0.1:1/join#${CODE}`;

  const unreachable = await home.run(["join", link]);
  const nothing = await home.run(["join"]);
  const noLink = await home.run(["join", CODE]);
  const noObject = await home.run(["join", link, "--config", join(home.path, "list.json")]);
  const noFile = await home.run(["join", link, "--config", join(home.path, "folder.json")]);
  const noName = await home.run(["join", link, "--namespace", " "]);

  assert.deepEqual(
    [unreachable.code, nothing.code, noLink.code, noObject.code, noFile.code, noName.code],
    [5, 2, 2, 2, 2, 2],
  );
  assert.match(unreachable.error, /127\.0\.0\.1:1 is not reachable \(ECONNREFUSED\)/);
  assert.match(nothing.error, /join what\? tokiame join LINK/);
  assert.match(noLink.error, /this is no invite link/);
  assert.match(noObject.error, /list\.json is not a JSON object/);
  assert.match(noFile.error, /folder\.json cannot be read \(EISDIR\)/);
  assert.match(noName.error, /needs a name of at most 64 characters/);
});

test("an answer without end is not read to its end", async () => {
  await using hub = await startServer((_request, response) => {
    response.writeHead(201, { "content-type": "application/json" });
    const more = (): void => void (response.destroyed || response.write("x".repeat(65_536), more));
    more();
  });
  await using home = await startHome();

  const ran = await home.run(["join", `${hub.url.href}join#${CODE}`]);

  assert.equal(ran.code, 5);
  assert.match(ran.error, /its answer is too long/);
});

function refusal(message: string): object {
  return { error: { message, type: "invalid_request_error", code: "x", param: null } };
}

/** Answers each path with what is listed, one after the other. */
async function startHub(
  answers: Readonly<Record<string, readonly (Answer | "hang up")[]>>,
): Promise<AsyncDisposable & { url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const left = new Map(Object.entries(answers).map(([path, list]) => [path, [...list]]));
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url ?? "";
    asked.push({ path, body: await bodyOf(request), authorization: request.headers.authorization });
    const next = left.get(path)?.shift();
    if (next === "hang up") {
      response.destroy();
      return;
    }
    const [status, body, headers] = next ?? [500, {}];
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  };
  const server = await startServer((request, response) => void answer(request, response));
  return { url: server.url.href, asked, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += String(chunk);
  const parsed: unknown = JSON.parse(text);
  return parsed;
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

interface Running {
  readonly ran: Promise<Ran>;
  stop(): void;
  /** Resolves when that was printed. */
  printed(text: string): Promise<void>;
}

/** A home folder of its own. */
async function startHome(): Promise<
  AsyncDisposable & {
    path: string;
    run(args: string[], env?: NodeJS.ProcessEnv): Promise<Ran>;
    start(args: string[]): Running;
  }
> {
  const path = await mkdtemp(join(tmpdir(), "tokiame-join-"));
  const start = (args: string[], env: NodeJS.ProcessEnv = {}): Running => {
    let out = "";
    let error = "";
    const stop = Promise.withResolvers<void>();
    const looks = new Set<() => void>();
    const context = {
      env,
      home: path,
      hostName: "gaming-pc",
      pid: process.pid,
      userId: undefined,
      isTerminal: true,
      version: "1.2.3",
      print: (text: string) => {
        out += text;
        for (const look of looks) look();
      },
      stopAsked: stop.promise,
      now: () => new Date(),
      monotonicMs: () => performance.now(),
    };
    const ran = tokiame(args, context, (text) => (error += text)).then((code) => ({ code, out, error }));
    const printed = (text: string): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => void (out.includes(text) && resolve());
        looks.add(look);
        look();
      });
    return { ran, stop: () => stop.resolve(), printed };
  };
  return {
    path,
    run: (args, env) => start(args, env).ran,
    start,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}
