import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";

import packageJson from "../package.json" with { type: "json" };
import { temporaryFolder } from "./temporary-folder.ts";

const MAIN = new URL("./main.ts", import.meta.url).pathname;

test("a new key's secret is all there is on stdout", async () => {
  using folder = temporaryFolder();

  const { stdout, stderr, code } = await tokilake(folder.path, "keys", "create", "--kind", "api", "--name", "laptop");

  assert.match(stdout, /^sk-[0-9A-Za-z]{43}\n$/);
  assert.match(stderr, /^Made the api key laptop \(key_[0-9a-f]{32}\)\. It is shown only this once:\n$/);
  assert.equal(code, 0);
});

test("keys are listed without their secrets, and a revoked one is marked", async () => {
  using folder = temporaryFolder();
  const api = await tokilake(folder.path, "keys", "create", "--kind", "api", "--name", "laptop");
  const worker = await tokilake(folder.path, "keys", "create", "--kind", "worker", "--name", "gaming pc");
  await tokilake(folder.path, "keys", "revoke", "laptop");

  const { stdout } = await tokilake(folder.path, "keys", "list");
  const json = await tokilake(folder.path, "keys", "list", "--json", "--limit", "1");

  const [headings, first, second, ...rest] = stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/).slice(1));
  assert.deepEqual(headings, ["KIND", "NAME", "KEY", "CREATED", "LAST USED", "STATUS"]);
  assert.deepEqual(first?.toSpliced(3, 1), ["worker", "gaming pc", `${worker.stdout.slice(0, 9)}…`, "never", "active"]);
  assert.deepEqual(second?.toSpliced(3, 1), [
    "api",
    "laptop",
    `${api.stdout.slice(0, 9)}…`,
    "never",
    "revoked just now",
  ]);
  assert.deepEqual(rest, []);
  const [listed] = JSON.parse(json.stdout) as Record<string, unknown>[];
  assert.deepEqual([listed?.["name"], listed?.["kind"], listed?.["revokedAtMs"]], ["gaming pc", "worker", null]);
  assert.equal(json.stderr, "There are more than 1. See them with --limit N.\n");
});

test("a mistake is one line with the next step: usage exits with 2, all else with 1", async () => {
  using folder = temporaryFolder();

  const usage = await tokilake(folder.path, "sing");
  const failure = await tokilake(folder.path, "keys", "revoke", "nobody");

  assert.deepEqual(usage, {
    stdout: "",
    stderr: 'tokilake: There is no command "sing". Try: tokilake --help\n',
    code: 2,
  });
  assert.deepEqual(failure, {
    stdout: "",
    stderr: 'tokilake: There is no key "nobody". See which there are: tokilake keys list.\n',
    code: 1,
  });
});

test("a configuration with mistakes is refused with all of them", async () => {
  using folder = temporaryFolder();

  const { stderr, code } = await tokilake(folder.path, "serve", "--port", "x", "--host", "");

  assert.equal(
    stderr,
    'tokilake: The configuration has 1 mistake:\n  --port must be a whole number from 0 to 65535 (it is "x")\n',
  );
  assert.equal(code, 2);
});

test("a data folder that cannot be is one line, not a stack", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("file"), "");

  const { stderr, code } = await tokilake(folder.file("file"), "keys", "list");

  const path = folder.file("file/tokilake.db");
  assert.equal(
    stderr,
    `tokilake: The database ${path} cannot be opened: a part of its path is a file, not a folder.\n`,
  );
  assert.equal(code, 1);
});

test("help and version need no data folder and make none", async () => {
  using folder = temporaryFolder();
  const data = folder.file("data");

  const help = await tokilake(data, "--help");
  const version = await tokilake(data, "-v");

  assert.match(help.stdout, /tokilake keys create --kind api\|worker --name NAME/);
  for (const line of help.stdout.split("\n")) assert.ok(line.length <= 80, line);
  assert.equal(version.stdout, `${packageJson.version}\n`);
  assert.equal(existsSync(data), false);
});

test("the doctor finds a free machine good, and says which check fails", async () => {
  using folder = temporaryFolder();
  const taken = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(taken, "listening");
  const address = taken.address();
  const port = typeof address === "object" && address !== null ? String(address.port) : "";

  const good = await tokilake(folder.path, "doctor", "--port", "0", "--host", "127.0.0.1");
  const bad = await tokilake(folder.path, "doctor", "--port", port, "--host", "127.0.0.1");
  taken.close();

  assert.deepEqual(
    good.stdout.split("\n").map((line) => line.slice(0, 17)),
    ["ok    data folder", "ok    database: /", "ok    address: 12", ""],
  );
  assert.equal(good.code, 0);
  assert.match(bad.stdout, /^BAD {3}address: 127\.0\.0\.1 port \d+: another program has it; choose another one/m);
  assert.equal(bad.stderr, "tokilake: 1 of 3 checks failed. Mend them and run tokilake doctor again.\n");
  assert.equal(bad.code, 1);
});

test(
  "serve says where it listens, drains at the first signal and leaves the database closed",
  { timeout: 20_000 },
  async (context) => {
    using folder = temporaryFolder();
    const hub = await serving(context, folder.path);

    const healthy = await fetch(`${hub.url}/healthz`);
    hub.child.kill("SIGTERM");
    const [code] = (await once(hub.child, "exit")) as [number | null];

    assert.equal(healthy.status, 200);
    assert.equal(code, 0);
    assert.deepEqual(hub.messages(), [
      "listening",
      "nobody is root yet: open this link within an hour",
      "there is no key yet; make one: tokilake keys create --kind api --name NAME",
      "stopping: running requests may end; signal again to stop at once",
      "stopped",
    ]);
    // SQLite takes these away when the last connection closes.
    assert.equal(existsSync(folder.file("tokilake.db-wal")), false);
  },
);

test("a second hub on the same port says so in one line", { timeout: 20_000 }, async (context) => {
  using folder = temporaryFolder();
  using other = temporaryFolder();
  const hub = await serving(context, folder.path);
  const { port } = new URL(hub.url);

  const { stderr, code } = await tokilake(other.path, "--host", "127.0.0.1", "--port", port);
  const doctor = await tokilake(folder.path, "doctor", "--host", "127.0.0.1", "--port", port);
  hub.child.kill("SIGTERM");
  await once(hub.child, "exit");

  assert.equal(
    stderr,
    `tokilake: Port ${port} is taken. Is a hub running already? Stop it, or choose another port with --port.\n`,
  );
  assert.equal(code, 1);
  assert.match(doctor.stdout, /^note {2}address: a hub runs on 127\.0\.0\.1 port \d+$/m);
  assert.equal(doctor.code, 0);
});

test("a key that is made while the hub runs is good when the command ends", { timeout: 20_000 }, async (context) => {
  using folder = temporaryFolder();
  const hub = await serving(context, folder.path);

  const statuses: number[] = [];
  for (const name of ["a", "b", "c"]) {
    const { stdout } = await tokilake(folder.path, "keys", "create", "--kind", "api", "--name", name);
    const answer = await fetch(`${hub.url}/v1/models`, { headers: { authorization: `Bearer ${stdout.trim()}` } });
    statuses.push(answer.status);
  }
  hub.child.kill("SIGTERM");
  await once(hub.child, "exit");

  assert.deepEqual(statuses, [200, 200, 200]);
});

test("a key that is revoked while the hub runs is refused at once", { timeout: 20_000 }, async (context) => {
  using folder = temporaryFolder();
  const created = await tokilake(folder.path, "keys", "create", "--kind", "api", "--name", "a");
  const hub = await serving(context, folder.path);
  const ask = async (): Promise<number> => {
    const headers = { authorization: `Bearer ${created.stdout.trim()}` };
    return (await fetch(`${hub.url}/v1/models`, { headers })).status;
  };

  const before = await ask();
  await tokilake(folder.path, "keys", "revoke", "a");
  let after = await ask();
  // The command waits until hubs have seen it; the test waits longer only where the machine is slow.
  for (const deadline = Date.now() + 5000; after === 200 && Date.now() < deadline;) after = await ask();
  hub.child.kill("SIGTERM");
  await once(hub.child, "exit");

  assert.deepEqual([before, after], [200, 401]);
});

test(
  "a request that runs at the first signal is answered before the hub ends",
  { timeout: 20_000 },
  async (context) => {
    using folder = temporaryFolder();
    const hub = await serving(context, folder.path);
    const asking = await halfRequest(hub.url, folder.path);

    hub.child.kill("SIGINT");
    await hub.said("stopping: running requests may end; signal again to stop at once");
    asking.end('"messages": []}');
    const [answer] = (await once(asking, "response")) as [IncomingMessage];
    const body = await text(answer);
    await hub.said("stopped");

    // No worker is connected. A request that comes after the signal is told `shutting_down`.
    assert.match(body, /"code":"no_worker"/);
  },
);

test("the second signal ends the hub at once, whatever runs", { timeout: 20_000 }, async (context) => {
  using folder = temporaryFolder();
  const hub = await serving(context, folder.path);
  const asking = await halfRequest(hub.url, folder.path);
  asking.on("error", () => {});

  hub.child.kill("SIGTERM");
  await hub.said("stopping: running requests may end; signal again to stop at once");
  hub.child.kill("SIGTERM");
  const [, signal] = (await once(hub.child, "exit")) as [number | null, string | null];

  assert.equal(signal, "SIGTERM");
});

test(
  "a hub that runs out of file descriptors says so and what to do, and goes on when there are some again",
  { timeout: 20_000, skip: process.platform === "win32" },
  async (context) => {
    using folder = temporaryFolder();
    const hub = await serving(context, folder.path, { maxFiles: 100 });
    const { port } = new URL(hub.url);

    const sockets = Array.from({ length: 150 }, () => connect(Number(port), "127.0.0.1").on("error", () => {}));
    await hub.said(/file descriptor is left.*ulimit -n/);
    for (const socket of sockets) socket.destroy();
    await hub.said(/there are file descriptors again/);
    const { status } = await fetch(`${hub.url}/healthz`);

    assert.equal(status, 200);
    hub.child.kill("SIGTERM");
    await once(hub.child, "exit");
    assert.equal(hub.messages().filter((message) => message.startsWith("hardly a file descriptor")).length, 1);
  },
);

/** A chat request that the hub has begun to read, and of which the end is missing. */
async function halfRequest(url: string, dataDir: string): Promise<ClientRequest> {
  const { stdout } = await tokilake(dataDir, "keys", "create", "--kind", "api", "--name", "a");
  const headers = {
    authorization: `Bearer ${stdout.trim()}`,
    "content-type": "application/json",
    // The hub says "100 Continue" when it has accepted the request.
    expect: "100-continue",
  };
  const asking = request(`${url}/v1/chat/completions`, { method: "POST", headers });
  asking.flushHeaders();
  await once(asking, "continue");
  asking.write('{"model": "nobody-has-it", ');
  return asking;
}

interface Serving {
  readonly child: ChildProcess;
  readonly url: string;
  /** Of the log so far. */
  messages(): readonly string[];
  /** Resolves when the log has that message. */
  said(message: string | RegExp): Promise<void>;
}

/** A hub that listens. Killed at the end of the test, when it still runs. */
async function serving(
  context: TestContext,
  dataDir: string,
  options: { readonly maxFiles?: number } = {},
): Promise<Serving> {
  const env = { PATH: process.env["PATH"], TOKILAKE_DATA_DIR: dataDir, TOKILAKE_HOST: "127.0.0.1", TOKILAKE_PORT: "0" };
  const { maxFiles } = options;
  const [program, ...argv] =
    maxFiles === undefined
      ? [process.execPath, MAIN]
      : ["sh", "-c", `ulimit -n ${maxFiles} && exec "$0" "$@"`, process.execPath, MAIN];
  const child = spawn(program ?? "", argv, { env, stdio: ["ignore", "pipe", "inherit"] });
  // Runs also when the test's time is over and it never gets to its end.
  context.after(() => child.kill("SIGKILL"));
  const entries: Record<string, unknown>[] = [];
  const lines = createInterface(child.stdout);
  lines.on("line", (line) => entries.push(JSON.parse(line) as Record<string, unknown>));
  await once(lines, "line");
  const messages = (): string[] => entries.map(({ message }) => String(message));
  return {
    child,
    url: String(entries[0]?.["url"]),
    messages,
    async said(message) {
      const isSaid = (each: string): boolean => (typeof message === "string" ? each === message : message.test(each));
      while (!messages().some(isSaid)) await once(lines, "line");
    },
  };
}

interface Result {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

/** Runs the program as a user would, with `dataDir` from the environment and nothing else of this machine's settings. */
async function tokilake(dataDir: string, ...argv: string[]): Promise<Result> {
  const env = { PATH: process.env["PATH"], TOKILAKE_DATA_DIR: dataDir };
  const child = spawn(process.execPath, [MAIN, ...argv], { env, stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { stdout, stderr, code: typeof code === "number" ? code : null };
}
