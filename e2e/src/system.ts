import type { TestContext } from "node:test";

import { type SimulatedEngine, type SimulatedEngineOptions, startSimulatedEngine } from "@tokilake/tiny-engine";

import { createKey, Hub, type HubOptions } from "./hub.ts";
import type { RunningProcess } from "./running-process.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { type ModelTarget, startWorker } from "./worker.ts";

/** Characters of each program's log that are shown with a failed test. */
const SHOWN_LOG = 8000;

/** What a client is given. */
export interface Access {
  readonly baseURL: string;
  readonly apiKey: string;
}

export interface SystemOptions {
  /** Models that the simulated engine serves; default `["simulated"]`. */
  readonly models?: readonly string[];
  /** An engine that runs already and stays when the system is disposed. Default: a new one. */
  readonly engine?: SimulatedEngine;
  readonly engineOptions?: Omit<SimulatedEngineOptions, "models">;
  readonly hubEnv?: Readonly<Record<string, string>>;
  readonly hubFlags?: readonly string[];
  readonly workerEnv?: Readonly<Record<string, string>>;
  /** Engine URLs by model of engines that run already, served by the same worker. */
  readonly moreModels?: Readonly<Record<string, string>>;
  /** The hub's data, in a folder that is there and stays. Default: a new one. */
  readonly dataDir?: string;
  /** Worker that is started with the hub: default "worker-a"; false: none. */
  readonly worker?: false;
}

/**
 * A hub and a worker in processes of their own, and a simulated engine in this one: so a test sees its records the
 * moment they change and measures with one clock. The hub lists the worker's models when it is handed out.
 */
export class System implements AsyncDisposable {
  readonly engine: SimulatedEngine;
  readonly apiKey: string;
  readonly workerKey: string;
  readonly dataDir: string;
  readonly #closing: AsyncDisposableStack;
  readonly #programs: RunningProcess[] = [];
  #hub: Hub;

  private constructor(parts: {
    engine: SimulatedEngine;
    hub: Hub;
    apiKey: string;
    workerKey: string;
    closing: AsyncDisposableStack;
  }) {
    this.engine = parts.engine;
    this.apiKey = parts.apiKey;
    this.workerKey = parts.workerKey;
    this.dataDir = parts.hub.dataDir;
    this.#hub = parts.hub;
    this.#closing = parts.closing;
    this.#programs.push(parts.hub.process);
  }

  /** @param t When it or one of its subtests fails, the logs of all programs are shown with it. */
  static async start(t: TestContext, options: SystemOptions = {}): Promise<System> {
    await using closing = new AsyncDisposableStack();
    const dataDir = options.dataDir ?? closing.use(await temporaryFolder()).path;
    const engine =
      options.engine ??
      closing.use(await startSimulatedEngine({ ...options.engineOptions, models: modelsOf(options) }));
    // One after the other: the first one makes the database.
    const workerKey = await createKey(dataDir, "worker", "workers");
    const [apiKey, hub] = await Promise.all([createKey(dataDir, "api", "client"), startHub(dataDir, options)]);
    closing.use(hub);
    const system = new System({ engine, hub, apiKey, workerKey, closing: closing.move() });
    system.#showLogsOfFailures(t);
    try {
      if (options.worker !== false) await system.#startFirstWorker(options);
      return system;
    } catch (thrown) {
      await system[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  get hub(): Hub {
    return this.#hub;
  }

  get access(): Access {
    return { baseURL: this.#hub.baseURL, apiKey: this.apiKey };
  }

  /** The last program started under that name. @throws Error when there is none. */
  program(name: string): RunningProcess {
    const program = this.#programs.findLast((each) => each.name === name);
    if (program === undefined) throw new Error(`There is no program ${name}.`);
    return program;
  }

  /** Starts another worker; `models` are served by this system's engine unless a URL is given. */
  async addWorker(
    name: string,
    options: {
      models?: Readonly<Record<string, ModelTarget>>;
      token?: string;
      env?: Readonly<Record<string, string>>;
      /** Another way to the hub, through a proxy. */
      hubUrl?: string;
      command?: readonly string[];
    } = {},
  ): Promise<RunningProcess> {
    const home = this.#closing.use(await temporaryFolder()).path;
    const { models = { simulated: this.engine.url }, token = this.workerKey, hubUrl = this.#hub.url } = options;
    const { env = {}, command = [] } = options;
    const program = startWorker({ hubUrl, name, token, home, models, env, command });
    this.#closing.use(program);
    this.#programs.push(program);
    return program;
  }

  /** Resolves when the hub lists all `models`. */
  async listing(...models: readonly string[]): Promise<void> {
    await this.#hub.listing(this.apiKey, models);
  }

  /** Starts a hub again on the same port and data, after the one before it ended. */
  async startHubAgain(options: Pick<HubOptions, "env"> = {}): Promise<Hub> {
    await this.#hub.process.exited;
    this.#hub = this.#closing.use(await Hub.start({ dataDir: this.dataDir, port: this.#hub.port, ...options }));
    this.#programs.push(this.#hub.process);
    return this.#hub;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closing[Symbol.asyncDispose]();
  }

  async #startFirstWorker(options: SystemOptions): Promise<void> {
    const models = Object.fromEntries(modelsOf(options).map((model) => [model, this.engine.url]));
    const all = { ...models, ...options.moreModels };
    await this.addWorker("worker-a", { models: all, ...(options.workerEnv && { env: options.workerEnv }) });
    await this.listing(...Object.keys(all));
  }

  #showLogsOfFailures(t: TestContext): void {
    const show = (context: unknown) => {
      // The types of the hooks lack the result (nodejs.org/api/test.html, `context.passed`).
      const finished = context as { readonly passed: boolean; diagnostic(message: string): void };
      if (finished.passed) return;

      for (const { name, log } of this.#programs) finished.diagnostic(`--- ${name}\n${log.slice(-SHOWN_LOG)}`);
    };
    t.after(show);
    t.afterEach(show);
  }
}

function modelsOf(options: SystemOptions): readonly string[] {
  return options.models ?? ["simulated"];
}

function startHub(dataDir: string, { hubEnv: env = {}, hubFlags: flags = [] }: SystemOptions): Promise<Hub> {
  return Hub.start({ dataDir, env, flags });
}
