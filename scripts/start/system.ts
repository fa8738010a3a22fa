import { hostname } from "node:os";

import { type BannerFacts } from "./banner.ts";
import { ChildProgram, type ProgramOptions } from "./child-program.ts";
import { startOwnEngine } from "./engines.ts";
import { HubClient } from "./hub-client.ts";
import { poll } from "./poll.ts";
import { Problem } from "./problem.ts";
import { prepareKeys, type StartKeys } from "./start-keys.ts";

const HUB_READY_MS = 30_000;
/** From the worker's start until the hub lists what it serves. */
const MODELS_MS = 30_000;
/** The same for engines found here: an engine that runs but has no model is as good as none. */
const FOUND_MODELS_MS = 8000;
/** `tokiame`'s exit code when there is no engine (docs/worker.md). */
const NO_ENGINE = "exit code 3";
/** In the hub's log while nobody is root, whichever form the log has. */
const SET_UP_LINK = /https?:\/\/[^\s"]+\/set-up#[\w-]+/;
/** Time for a program to end by itself after it was asked; the hub's own grace for running answers is 30 s. */
const STOP_MS = 35_000;

/** What is started, and where. */
export interface SystemOptions {
  readonly port: number;
  /** What the hub listens on; `0.0.0.0` is all addresses. */
  readonly host: string;
  /** Absolute. */
  readonly dataDir: string;
  /** Warnings and errors of the programs, for the terminal. */
  onLine(line: string): void;
}

/** The hub, a worker and perhaps the tiny engine, as processes of this one. */
export class RunningSystem {
  readonly #options: SystemOptions;
  readonly #hub: HubClient;
  /** In the order of starting. */
  readonly #programs: ChildProgram[] = [];
  readonly #gone = new AbortController();
  #isStopping = false;
  #setUpLink: string | undefined;

  constructor(options: SystemOptions) {
    this.#options = options;
    const isEverywhere = ["0.0.0.0", "::", "localhost", "127.0.0.1"].includes(options.host);
    const name = options.host.includes(":") ? `[${options.host}]` : options.host;
    this.#hub = new HubClient(`http://${isEverywhere ? "localhost" : name}:${options.port}`);
  }

  /** Aborted with a Problem when one of the programs dies by itself. */
  get failed(): AbortSignal {
    return this.#gone.signal;
  }

  /** Starts everything; resolves when a request would be answered. @throws Problem when that does not come to be. */
  async start(stopped: AbortSignal): Promise<BannerFacts> {
    const signal = AbortSignal.any([stopped, this.failed]);
    const { port, host, dataDir } = this.#options;
    this.#watch(
      new ChildProgram({
        name: "hub",
        script: "packages/hub/src/main.ts",
        args: ["serve", "--port", String(port), "--host", host, "--data-dir", dataDir],
        env: { TOKILAKE_LOG_LEVEL: "warn", TOKILAKE_LOG_FORMAT: "human", ...process.env },
        onLine: (line) => this.#onHubLine(line),
      }),
    );
    const isReady = await poll(async () => (await this.#hub.isReady()) || undefined, HUB_READY_MS, signal);
    if (isReady === undefined) throw new Problem(`The hub is not ready after ${HUB_READY_MS / 1000} s.`);
    const keys = await prepareKeys(dataDir, this.#hub, signal);
    const found = await this.#serveFoundEngines(keys, signal);
    const served = found ?? (await this.#serveOwnEngine(keys, signal));
    return { url: this.#hub.url, keys, setUpLink: this.#setUpLink, ...served };
  }

  /** Stops all: first the hub, whose running answers still need the others. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const program of this.#programs) await program.stop(STOP_MS);
  }

  /** Ends all at once. */
  kill(): void {
    this.#isStopping = true;
    for (const program of this.#programs) program.kill();
  }

  /** Lets the worker look for engines. Undefined when there is none, or none with a model. */
  async #serveFoundEngines(keys: StartKeys, signal: AbortSignal): Promise<Served | undefined> {
    // What it says is told only when it stays: that there is no engine is no trouble here.
    const said: string[] = [];
    let tell = (line: string): void => void said.push(line);
    const worker = new ChildProgram({ ...this.#workerOptions(keys, {}), onLine: (line) => tell(line) });
    const models = await poll(() => this.#models(keys, worker), FOUND_MODELS_MS, signal).catch((thrown: unknown) => {
      worker.kill();
      throw thrown;
    });
    if (models !== undefined && models.length > 0) {
      this.#watch(worker);
      tell = (line) => this.#show("worker", line);
      said.forEach(tell);
      return { models, source: "from the engines on this machine (npm run -s worker -- doctor tells more)" };
    }
    if (!worker.isGone) await worker.stop(STOP_MS);
    else if ((await worker.exited) !== NO_ENGINE) throw died(worker, await worker.exited);
    return undefined;
  }

  async #serveOwnEngine(keys: StartKeys, signal: AbortSignal): Promise<Served> {
    const engine = await startOwnEngine(signal);
    this.#watch(engine.program);
    const targets = { tiny: { url: engine.url, backend_type: engine.isSimulated ? "openai" : "llama.cpp" } };
    const worker = this.#watch(
      new ChildProgram(this.#workerOptions(keys, { TOKIAME_MODEL_TARGETS: JSON.stringify(targets) })),
    );
    const models = await poll(() => this.#models(keys, worker), MODELS_MS, signal);
    if (models === undefined) throw new Problem(`The worker does not reach the hub: ${worker.lastWords}`);
    const what = engine.isSimulated
      ? "a stand-in that answers without a model: llama.cpp has no build for this machine"
      : "a real, very small one that comes along: no engine was found on this machine";
    return { models, source: what };
  }

  /** The models that the hub lists; an empty list when the worker has ended, undefined while there is none yet. */
  async #models(keys: StartKeys, worker: ChildProgram): Promise<string[] | undefined> {
    if (worker.isGone) return [];
    const models = await this.#hub.models(keys.apiKey);
    return models === undefined || models.length === 0 ? undefined : models;
  }

  #workerOptions(keys: StartKeys, env: NodeJS.ProcessEnv): ProgramOptions {
    return {
      name: "worker",
      script: "packages/worker/src/main.ts",
      args: ["run"],
      env: {
        TOKIAME_LOG_LEVEL: "warn",
        TOKIAME_LOG_FORMAT: "human",
        TOKIAME_NAMESPACE: hostname(),
        ...process.env,
        ...env,
        TOKIAME_GATEWAY_URL: this.#hub.url,
        TOKIAME_TOKEN: keys.workerKey,
      },
      onLine: (line) => this.#show("worker", line),
    };
  }

  /** The link is shown with all else that the person needs first. It comes while the keys are made, which takes longer. */
  #onHubLine(line: string): void {
    const link = SET_UP_LINK.exec(line)?.[0];
    if (link === undefined) this.#show("hub", line);
    else this.#setUpLink = link;
  }

  #watch(program: ChildProgram): ChildProgram {
    this.#programs.push(program);
    void program.exited.then((how) => {
      if (!this.#isStopping) this.#gone.abort(died(program, how));
    });
    return program;
  }

  /** Nothing of what programs say while they are stopped, on purpose, is news. */
  #show(name: string, line: string): void {
    if (!this.#isStopping && line.trim() !== "") this.#options.onLine(`${name}: ${line}`);
  }
}

interface Served {
  readonly models: readonly string[];
  readonly source: string;
}

function died(program: ChildProgram, how: string): Problem {
  return new Problem(`The ${program.name} stopped (${how}): ${program.lastWords}`);
}
