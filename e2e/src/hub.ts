import { eventually } from "./eventually.ts";
import { RunningProcess, runProgram } from "./running-process.ts";

const SCRIPT = "packages/hub/src/main.ts";

export interface HubOptions {
  readonly dataDir: string;
  /** 0, the default: any free port. */
  readonly port?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Behind `tokilake serve`. */
  readonly flags?: readonly string[];
}

/** A hub in a process of its own. The data folder stays when it is disposed. */
export class Hub implements AsyncDisposable {
  readonly process: RunningProcess;
  readonly port: number;
  readonly dataDir: string;

  private constructor(process: RunningProcess, port: number, dataDir: string) {
    this.process = process;
    this.port = port;
    this.dataDir = dataDir;
  }

  /** Resolves when the hub says in its log that it listens. */
  static async start(options: HubOptions): Promise<Hub> {
    const { dataDir, port = 0, env, flags = [] } = options;
    const process = new RunningProcess({
      name: "hub",
      script: SCRIPT,
      args: ["serve", "--host", "127.0.0.1", "--port", String(port), "--data-dir", dataDir, ...flags],
      env: { TOKILAKE_LOG_FORMAT: "json", HOME: dataDir, ...env },
    });
    try {
      const url = await process.findLine(urlInLog);
      return new Hub(process, Number(new URL(url).port), dataDir);
    } catch (thrown) {
      await process[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** What an SDK is given. */
  get baseURL(): string {
    return `${this.url}/v1`;
  }

  /** Ids that `GET /v1/models` lists for a key. */
  async models(apiKey: string): Promise<string[]> {
    const answer = await fetch(`${this.baseURL}/models`, { headers: { authorization: `Bearer ${apiKey}` } });
    if (!answer.ok) throw new Error(`GET /v1/models gives ${answer.status}.`);
    const { data } = (await answer.json()) as { data: { id: string }[] };
    return data.map((model) => model.id);
  }

  /** Resolves when the hub lists every one of `models`. */
  async listing(apiKey: string, models: readonly string[]): Promise<void> {
    await eventually(
      `the hub lists ${models.join(", ")}`,
      async () => {
        const listed = await this.models(apiKey);
        return models.every((model) => listed.includes(model));
      },
      20_000,
    );
  }

  /** Resolves when the hub lists none of `models` any more. */
  async notListing(apiKey: string, models: readonly string[]): Promise<void> {
    await eventually(`the hub no longer lists ${models.join(", ")}`, async () => {
      const listed = await this.models(apiKey);
      return !models.some((model) => listed.includes(model));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}

/** `tokilake keys create`, as an operator runs it. Resolves with the secret. */
export async function createKey(dataDir: string, kind: "api" | "worker", name: string): Promise<string> {
  const secret = await runKeys(dataDir, "create", "--kind", kind, "--name", name);
  return secret.trim();
}

/** `tokilake keys revoke`. */
export async function revokeKey(dataDir: string, name: string): Promise<void> {
  await runKeys(dataDir, "revoke", name);
}

/** A key as `tokilake keys list --json` tells it. */
export interface ListedKey {
  readonly kind: string;
  readonly name: string;
  readonly revokedAtMs: number | null;
}

export async function listKeys(dataDir: string): Promise<ListedKey[]> {
  return JSON.parse(await runKeys(dataDir, "list", "--json")) as ListedKey[];
}

function runKeys(dataDir: string, ...args: readonly string[]): Promise<string> {
  return runProgram({ name: "tokilake keys", script: SCRIPT, args: ["keys", ...args, "--data-dir", dataDir] });
}

function urlInLog(line: string): string | undefined {
  if (!line.includes('"listening"')) return undefined;
  return (JSON.parse(line) as { url: string }).url;
}
