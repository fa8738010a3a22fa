import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { chatText } from "./http-exchange.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const ROOT = dirname(dirname(import.meta.dirname));

/** Long enough for a cold start of four programs on a machine that runs other tests. */
const START_MS = 60_000;

const run = promisify(execFile);

test("npm start prints a curl that works, keeps its keys, drains on Ctrl-C and explains a taken port", async (t) => {
  await using folder = await temporaryFolder();
  const port = await freePort();
  const first = new NpmStart(port, folder.path);
  t.after(() => first.kill());

  const shown = await first.sees(/npm run -s worker\n/);

  await t.test("the printed curl streams real tokens", { skip: isMissing("curl") }, async () => {
    const { stdout } = await run("sh", ["-c", commandIn(shown, "curl ")]);
    assert.ok(chatText(stdout).split(" ").length > 3, stdout);
    assert.ok(stdout.trimEnd().endsWith("data: [DONE]"));
  });

  await t.test("the printed link opens the page that makes its reader root", async () => {
    const link = /Become root.*\n\n(\S+\/set-up)#[\w-]{43}\n/.exec(shown)?.[1] ?? shown;
    assert.equal(link, `http://localhost:${port}/set-up`);
    assert.match(await (await fetch(link)).text(), /<h1[^>]*>Set up this hub/);
  });

  await t.test("a second one on the same port says in one line what to do, and the first goes on", async () => {
    const second = new NpmStart(port, folder.path);
    t.after(() => second.kill());
    assert.equal(await second.exited, 1);
    assert.match(second.output, new RegExp(`^Port ${port} is taken.*npm start -- --port ${port + 1}$`, "m"));
    assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200);
  });

  await t.test("keys are kept for this user only", { skip: process.platform === "win32" }, async () => {
    assert.equal((await stat(join(folder.path, "start.json"))).mode & 0o777, 0o600);
  });

  await t.test("Ctrl-C lets a running answer finish", async () => {
    const answer = await ask(port, keyIn(shown));
    first.pressCtrlC();
    assert.match(await answer.text(), /data: \[DONE\]\n\n$/);
    // npm itself ends by the signal, or with 0; what the program behind it gives is in the next test.
    assert.ok([0, null].includes(await first.exited), first.output);
  });

  await t.test("the next start has the same keys, which still work, and Ctrl-C ends it with 0", async () => {
    const again = new NpmStart(port, folder.path, [process.execPath, "scripts/bootstrap.mjs", "scripts/start.ts"]);
    t.after(() => again.kill());
    const shownAgain = await again.sees(/npm run -s worker\n/);
    assert.equal(keyIn(shownAgain), keyIn(shown));
    assert.equal((await ask(port, keyIn(shown))).status, 200);
    again.pressCtrlC();
    assert.equal(await again.exited, 0, again.output);
  });

  await t.test("a key that is no longer good is replaced", async () => {
    await run(process.execPath, ["packages/hub/src/main.ts", "keys", "revoke", await apiKeyId(folder.path)], {
      cwd: ROOT,
      env: { ...process.env, TOKILAKE_DATA_DIR: folder.path },
    });
    const again = new NpmStart(port, folder.path);
    t.after(() => again.kill());
    const key = keyIn(await again.sees(/npm run -s worker\n/));
    assert.notEqual(key, keyIn(shown));
    assert.ok((await readFile(join(folder.path, "start.json"), "utf8")).includes(key));
  });
});

test("when the hub dies, npm start says so, stops the others and fails", { skip: isMissing("ps") }, async (t) => {
  await using folder = await temporaryFolder();
  const started = new NpmStart(await freePort(), folder.path);
  t.after(() => started.kill());
  await started.sees(/npm run -s worker\n/);

  process.kill(started.pidOf("packages/hub/src/main.ts"), "SIGKILL");

  assert.equal(await started.exited, 1);
  assert.match(started.output, /^The hub stopped \(SIGKILL\)/m);
});

/** `npm start` as a person runs it, in a process group of its own, on a machine that seems to have no engine. */
class NpmStart {
  output = "";
  /** Settles with the exit code when all of its output is read. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;

  /** @param command What npm runs can be named instead, for its exit code: npm's own is another one after a signal. */
  constructor(port: number, folder: string, [command, ...args] = ["npm", "start", "--"]) {
    this.#child = spawn(command ?? "", [...args, "--port", String(port)], {
      cwd: ROOT,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      // Other tests' engines listen on this machine too: only the port named here is looked at.
      env: { ...process.env, HOME: folder, TOKILAKE_DATA_DIR: folder, TOKIAME_DISCOVERY_PORTS: "9" },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => (this.output += text));
    }
    this.exited = once(this.#child, "close").then(([code]: unknown[]) => (typeof code === "number" ? code : null));
  }

  /** All output, once it matches. */
  async sees(pattern: RegExp): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const look = (): void => {
      if (pattern.test(this.output)) resolve(this.output);
    };
    const timer = setTimeout(() => reject(new Error(`Not shown in time:\n${this.output}`)), START_MS);
    this.#child.stdout?.on("data", look);
    void this.exited.then((code) => reject(new Error(`npm start ended with ${code}:\n${this.output}`)));
    look();
    return promise.finally(() => {
      clearTimeout(timer);
      this.#child.stdout?.off("data", look);
    });
  }

  /** To every process of the group, as a terminal does. */
  pressCtrlC(): void {
    this.#signal("SIGINT");
  }

  /** Process id of the program with this script among its descendants. */
  pidOf(script: string): number {
    const { stdout } = spawnSync("ps", ["-eo", "pid=,ppid=,args="], { encoding: "utf8" });
    const rows = stdout.split("\n").map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line));
    const parents = new Set([this.#child.pid]);
    // Parents come before their children in the list often, not always: as many turns as there are generations.
    for (let generation = 0; generation < 6; generation += 1) {
      for (const row of rows) if (parents.has(Number(row?.[2]))) parents.add(Number(row?.[1]));
    }
    const found = rows.find((row) => parents.has(Number(row?.[1])) && row?.[3]?.includes(script));
    assert.ok(found, `${script} does not run`);
    return Number(found[1]);
  }

  /** Ends it and what it started, when a test failed before it did. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#signal("SIGTERM");
    await this.exited;
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid !== undefined) process.kill(-pid, signal);
  }
}

function keyIn(shown: string): string {
  const key = /API key\s+(sk-\S+)/.exec(shown)?.[1];
  assert.ok(key, shown);
  return key;
}

/** The shown command that begins so, over as many lines as end with a backslash. */
function commandIn(shown: string, beginning: string): string {
  const lines = shown.split("\n");
  const start = lines.findIndex((line) => line.startsWith(beginning));
  const end = lines.findIndex((line, index) => index >= start && !line.endsWith("\\"));
  return lines.slice(start, end + 1).join("\n");
}

/** A streamed answer of some hundred tokens, its head received. */
function ask(port: number, key: string): Promise<Response> {
  const messages = [{ role: "user", content: "Tell me a story about a dog." }];
  return fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "tiny", messages, stream: true, ignore_eos: true, max_tokens: 500 }),
  });
}

async function apiKeyId(dataDir: string): Promise<string> {
  const args = ["packages/hub/src/main.ts", "keys", "list", "--json", "--data-dir", dataDir];
  const { stdout } = await run(process.execPath, args, { cwd: ROOT });
  const id = (JSON.parse(stdout) as { id: string; kind: string }[]).find((key) => key.kind === "api")?.id;
  assert.ok(id);
  return id;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "0.0.0.0");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}

function isMissing(program: string): string | false {
  return spawnSync(program, ["--version"]).error === undefined ? false : `${program} is not installed`;
}
