import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { createTunnelServer, TunnelRefusal } from "@tokilake/tunnel";

import { startServer } from "./serving/test-engine.ts";
import { tokiame } from "./tokiame.ts";

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** A home folder of its own, with a token in it. */
async function startHome(): Promise<
  AsyncDisposable & {
    path: string;
    tokenFile: string;
    start(
      args: string[],
      env?: NodeJS.ProcessEnv,
    ): { ran: Promise<Ran>; stop(): void; printed(text: string): Promise<void> };
  }
> {
  const path = await mkdtemp(join(tmpdir(), "tokiame-home-"));
  const tokenFile = join(path, "token");
  await writeFile(tokenFile, "wk-good\n");
  return {
    path,
    tokenFile,
    start(args, env = {}) {
      let out = "";
      let error = "";
      const stop = Promise.withResolvers<void>();
      const waiting = new Set<() => void>();
      const context = {
        env: { TOKIAME_LOG_FORMAT: "human", TOKIAME_DISCOVERY_PORTS: "1", ...env },
        home: path,
        hostName: "gaming-pc",
        pid: process.pid,
        userId: process.getuid?.(),
        isTerminal: true,
        version: "1.2.3",
        print: (text: string) => {
          out += text;
          for (const look of waiting) look();
        },
        stopAsked: stop.promise,
        now: () => new Date(),
        monotonicMs: () => performance.now(),
      };
      const ran = tokiame(args, context, (text) => (error += text)).then((code) => ({ code, out, error }));
      const printed = (text: string): Promise<void> =>
        new Promise((resolve) => {
          const look = (): void => void (out.includes(text) && resolve());
          waiting.add(look);
          look();
        });
      return { ran, stop: () => stop.resolve(), printed };
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

/** What the hub serves of whoever connects. */
const SERVED = {
  kind: "served",
  groups: [{ group: "friends", served: 0, refused: [{ why: "taken", count: 1, models: ["llama3:8b"] }] }],
};

/** @param options.isAnonymous Behind a proxy that drops what names the version, as an original hub may be. */
async function startHub({ isAnonymous = false } = {}): Promise<AsyncDisposable & { url: string }> {
  const tunnel = createTunnelServer<string>({
    hubId: "hub",
    authenticate: (bearer) => {
      if (bearer === "wk-good") return "owner";
      throw new TunnelRefusal({ status: 401, code: "invalid_key", message: "unknown worker key" });
    },
    register: (_owner, { workerId }) => {
      if (workerId !== "taken") return;
      throw new TunnelRefusal({ status: 409, code: "name-taken", message: "used by another key", fatal: true });
    },
    // Right behind the answer to its registration it would wait for a second.
    onSession: (session) => void setImmediate(() => session.notify(SERVED)),
    onUpdate: () => undefined,
    onClose: () => undefined,
    allowNoSubprotocol: isAnonymous,
  });
  const server = createServer().listen(0, "127.0.0.1");
  server.on("upgrade", (request, socket, head) => {
    if (isAnonymous) delete request.headers["sec-websocket-protocol"];
    tunnel.handleUpgrade(request, socket, head);
  });
  await once(server, "listening");
  const address = server.address();
  return {
    url: `ws://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    async [Symbol.asyncDispose]() {
      tunnel.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function startOllama(): Promise<AsyncDisposable & { url: URL }> {
  const answers: Record<string, string> = {
    "/": "Ollama is running",
    "/api/version": '{"version":"0.5.1"}',
    "/api/tags": '{"models":[{"name":"llama3:8b"}]}',
  };
  return startServer((request, response) => {
    const answer = answers[request.url ?? ""];
    response.writeHead(answer === undefined ? 404 : 200).end(answer);
  });
}

test("version and help need nothing; a wrong word is named in one line", async () => {
  await using home = await startHome();

  assert.deepEqual(await home.start(["--version"]).ran, { code: 0, out: "tokiame 1.2.3\n", error: "" });
  assert.match((await home.start(["--help"]).ran).out, /tokiame doctor/);
  assert.deepEqual(await home.start(["serve"]).ran, {
    code: 2,
    out: "",
    error: 'tokiame: unknown command "serve"; see tokiame --help\n',
  });
  assert.deepEqual(await home.start(["--token", "x"]).ran, {
    code: 2,
    out: "",
    error: "tokiame: Unknown option '--token'; see tokiame --help\n",
  });
});

test("run serves what it found until it is told to stop, and status shows it meanwhile", async () => {
  await using home = await startHome();
  await using hub = await startHub();
  await using engine = await startOllama();
  const running = home.start(["--gateway-url", hub.url, "--token-file", home.tokenFile], {
    TOKIAME_DISCOVERY_PORTS: engine.url.port,
  });
  await running.printed("connected to 127.0.0.1");

  // The line comes before the file is on disk.
  let status = await home.start(["status"]).ran;
  while (!/\(2 connections\)[^]*not served/.test(status.out)) status = await home.start(["status"]).ran;
  running.stop();
  const { code, out, error } = await running.ran;
  const afterwards = await home.start(["status"]).ran;

  assert.deepEqual([code, error], [0, ""]);
  assert.match(out, /serving ollama 0\.5\.1: llama3:8b \(4 slots\)/);
  assert.match(status.out, /^gaming-pc \(process \d+\)\n {2}hub +connected to 127\.0\.0\.1:\d+ \(2 connections\)\n/);
  assert.equal(out.split("connected to 127.0.0.1").length, 2, "one line for both");
  assert.match(status.out, /model +llama3:8b {2}on ollama/);
  assert.match(
    status.out,
    /\n {2}served +0 models in friends\n {2}not served {2}llama3:8b in friends \(somebody else keeps /,
  );
  assert.equal(out.split("not served: llama3:8b in friends (somebody else keeps").length, 2, "one line");
  assert.match(afterwards.out, /no worker runs/);
});

test("run removes the status file of a worker that was killed", async () => {
  await using home = await startHome();
  await using hub = await startHub();
  await using engine = await startOllama();
  const folder = join(home.path, ".tokilake", "run");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `tokiame-${2 ** 30}.json`), "{}");

  const running = home.start(["--gateway-url", hub.url, "--token-file", home.tokenFile], {
    TOKIAME_DISCOVERY_PORTS: engine.url.port,
  });
  await running.printed("connected to 127.0.0.1");
  running.stop();
  await running.ran;

  assert.deepEqual(await readdir(folder), []);
});

for (const [name, args, env, code, message] of [
  ["no engine", [], {}, 3, /^tokiame: no engine found on this machine; start one .*\n$/],
  ["bad token", [], { bad: true }, 4, /^tokiame: 127\.0\.0\.1:\d+ refused the token \(.*\); make a worker key.*\n$/],
  [
    "name taken",
    ["--namespace", "taken"],
    {},
    6,
    /^tokiame: .* refused this worker's name \(used by another key\); .*\n$/,
  ],
] as const) {
  test(`run ends with one line and its own code: ${name}`, async () => {
    await using home = await startHome();
    await using hub = await startHub();
    await using engine = await startOllama();
    if ("bad" in env) await writeFile(home.tokenFile, "wk-bad");
    const ports = name === "no engine" ? "1" : engine.url.port;

    const ran = await home.start(["--gateway-url", hub.url, "--token-file", home.tokenFile, ...args], {
      TOKIAME_DISCOVERY_PORTS: ports,
    }).ran;

    assert.equal(ran.code, code);
    assert.match(ran.error, message);
  });
}

test("a hub that names no version of the tunnel is served only where it is taken for an original one", async () => {
  await using home = await startHome();
  await using hub = await startHub({ isAnonymous: true });
  await using engine = await startOllama();
  const start = (command: string, env: NodeJS.ProcessEnv = {}) =>
    home.start([command, "--gateway-url", hub.url, "--token-file", home.tokenFile], {
      TOKIAME_DISCOVERY_PORTS: engine.url.port,
      ...env,
    });

  const refused = await start("run").ran;
  const explained = await start("doctor").ran;
  const checked = await start("doctor", { TOKIAME_ASSUME_TUNNEL_V1: "true" }).ran;
  const running = start("run", { TOKIAME_ASSUME_TUNNEL_V1: "true" });
  await running.printed("connected to 127.0.0.1");
  running.stop();
  const served = await running.ran;

  const advice = /names no version of the tunnel; if it is an original hub, set assume_tunnel_v1/;
  assert.match(refused.error, advice);
  assert.match(explained.out, advice);
  assert.deepEqual([refused.code, explained.code, checked.code, served.code], [7, 7, 0, 0]);
});

test("a hub that is not there is told and tried again", async () => {
  await using home = await startHome();
  await using engine = await startOllama();
  const running = home.start(["--gateway-url", "ws://127.0.0.1:1", "--token-file", home.tokenFile], {
    TOKIAME_DISCOVERY_PORTS: engine.url.port,
  });
  await running.printed("is not reachable");
  running.stop();

  const { code, out } = await running.ran;

  assert.equal(code, 0);
  assert.match(out, /warn: 127\.0\.0\.1:1 is not reachable \(.*\); is the hub running\?; next attempt in/);
});

test("doctor explains and disturbs nothing", async () => {
  await using home = await startHome();
  await using hub = await startHub();
  await using engine = await startOllama();
  const ports = { TOKIAME_DISCOVERY_PORTS: engine.url.port };
  const ask = (gateway: string): Promise<Ran> =>
    home.start(["doctor", "--gateway-url", gateway, "--token-file", home.tokenFile], ports).ran;

  const good = await ask(hub.url);
  const unreachable = await ask("ws://127.0.0.1:1");
  await writeFile(home.tokenFile, "wk-bad");
  const refused = await ask(hub.url);
  const bare = await home.start(["doctor"], ports).ran;

  assert.deepEqual([good.code, unreachable.code, refused.code, bare.code], [0, 5, 4, 2]);
  assert.match(good.out, /port \d+ +Ollama 0\.5\.1 +known/);
  assert.match(good.out, /llama3:8b +on ollama/);
  assert.match(good.out, /answers in \d+ ms and takes the token/);
  assert.match(refused.out, /answered 401/);
  assert.match(bare.out, /mistake +gateway_url: is missing/);
  assert.match(bare.out, /llama3:8b +on ollama/);
});
