import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, type TestContext, test } from "node:test";

import { chatBody, HttpExchange, sseData } from "./http-exchange.ts";
import { System } from "./system.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { startWorker } from "./worker.ts";

/** Where Debian's packages golang-github-gorilla-websocket-dev and golang-github-xtaci-smux-dev put their sources. */
const GO_SOURCES = "/usr/share/gocode";

const folder = await temporaryFolder();
after(() => folder[Symbol.asyncDispose]());

const OPTIONS = { timeout: 120_000, skip: whyNot() };

test("a worker of the original's libraries serves our hub", OPTIONS, async (t) => {
  await using system = await System.start(t, { worker: false });
  const url = `${system.hub.url.replace("http", "ws")}/api/tokilake/connect`;
  using worker = new GoPeer(t, program(), ["worker", url, system.workerKey, "go-model"]);
  assert.equal((await worker.next("registered"))["subprotocol"], "tokilake.v1");
  await system.listing("go-model");
  const body = { ...chatBody({}, { stream: true }), model: "go-model" };

  const whole = await HttpExchange.whole(system.access, { body });
  assert.equal(whole.status, 200);
  assert.equal((whole.text.match(/<word> & /g) ?? []).length, 3);
  assert.equal(sseData(whole.text).at(-1), "[DONE]");
  assert.equal((await worker.next("request"))["kind"], "chat_completions");

  // Larger than one frame of smux may be, in both directions.
  const large = await HttpExchange.whole(system.access, { body: { ...body, user: `large${"y".repeat(200_000)}` } });
  assert.equal(sseData(large.text).at(-1), "[DONE]");
  assert.ok(Number((await worker.next("request"))["bytes"]) > 200_000);

  const endless = await HttpExchange.open(system.access, { body: { ...body, user: "endless" } });
  await endless.until("<word>");
  endless.hangUp();
  await worker.next("stopped");

  const many = await Promise.all(Array.from({ length: 200 }, () => HttpExchange.whole(system.access, { body })));
  assert.ok(many.every(({ text }) => sseData(text).at(-1) === "[DONE]"));
});

test("our worker serves a hub of the original's libraries", OPTIONS, async (t) => {
  await using system = await System.start(t, { worker: false });
  await using closing = new AsyncDisposableStack();
  const body = JSON.stringify(chatBody({ tokens: 3, intervalMs: 1 }, { stream: true }));
  using hub = new GoPeer(t, program(), ["hub", "simulated", body]);
  const { port } = await hub.next("listening");
  const models = { simulated: system.engine.url };
  const place = { name: "gaming-pc", token: "wk-any", home: closing.use(await temporaryFolder()).path };
  closing.use(startWorker({ ...place, hubUrl: `ws://127.0.0.1:${Number(port)}`, models, env: {}, command: [] }));

  assert.equal((await hub.next("register"))["is"], "register");
  const first = await hub.next("frame");
  assert.equal(first["status"], 200);
  assert.equal((await hub.next("frame"))["eof"], true);
  const ended = await hub.next("ended");
  assert.equal(ended["error"], "EOF");
  assert.equal(sseData(String(ended["text"])).at(-1), "[DONE]");

  // The second one is cancelled at its first chunk: the engine stops, long before its 100,000 tokens.
  await system.engine.waitFor(({ cancelled }) => cancelled === 1);
  assert.doesNotMatch(String((await hub.next("ended"))["text"]), /\[DONE\]/);
});

/** One of the programs in `go-peer/`. What it says comes in order; what nobody asked for is passed over. */
class GoPeer implements Disposable {
  readonly #said: AsyncIterator<string>;
  readonly #kill: () => void;

  constructor(t: TestContext, program: string, args: readonly string[]) {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#kill = () => child.kill("SIGKILL");
    this.#said = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    t.after(this.#kill);
  }

  async next(is: string): Promise<Record<string, unknown>> {
    for (;;) {
      const { value, done } = await this.#said.next();
      if (done === true) throw new Error(`The Go peer ended before it said "${is}".`);
      const line = JSON.parse(value) as Record<string, unknown>;
      if (line["is"] === "failed" || line["is"] === "refused") throw new Error(`The Go peer: ${value}`);
      if (line["is"] === is) return line;
    }
  }

  [Symbol.dispose](): void {
    this.#kill();
  }
}

/** Built once for all tests, by Go's own cache across runs: without one it takes a minute. */
function program(): string {
  const file = join(folder.path, "go-peer");
  if (existsSync(file)) return file;
  const { status, stderr } = spawnSync("go", ["build", "-o", file, "."], {
    cwd: join(import.meta.dirname, "go-peer"),
    // Without modules Go takes the sources that the system's packages brought, and asks no network.
    env: { ...process.env, GO111MODULE: "off", GOPATH: GO_SOURCES, GOFLAGS: "", GOTOOLCHAIN: "local" },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`The Go peer does not build:\n${stderr}`);
  return file;
}

function whyNot(): string | false {
  const needed = ["github.com/gorilla/websocket", "github.com/xtaci/smux"];
  if (spawnSync("go", ["version"]).status !== 0) return "Go is not installed";
  const missing = needed.find((name) => !existsSync(join(GO_SOURCES, "src", name)));
  return (
    missing !== undefined &&
    `Go's ${missing} is not installed (Debian: golang-${missing.replaceAll(/\.com|\//g, (part) => (part === "/" ? "-" : ""))}-dev)`
  );
}
