import { RunningProcess } from "./running-process.ts";

/** How many sessions a worker has at the hub, unless `TOKIAME_CONNECTIONS` says otherwise. */
export const CONNECTIONS = 2;

export type ModelTarget = string | { readonly url: string; readonly [key: string]: unknown };

export interface WorkerOptions {
  readonly hubUrl: string;
  /** Its worker id at the hub. */
  readonly name: string;
  readonly token: string;
  /** Becomes the home folder, so that no configuration of this machine is read. */
  readonly home: string;
  /** Engine URL by public model name, or the whole entry as in `model_targets`. */
  readonly models: Readonly<Record<string, ModelTarget>>;
  readonly env?: Readonly<Record<string, string>>;
  /** See `ProgramOptions`. */
  readonly command?: readonly string[];
}

/** Starts a worker in a process of its own. It is connected when the hub lists its models. */
export function startWorker(options: WorkerOptions): RunningProcess {
  const entries = Object.entries(options.models).map(([model, target]) => [
    model,
    typeof target === "string" ? { url: target } : target,
  ]);
  return new RunningProcess({
    name: options.name,
    script: "packages/worker/src/main.ts",
    args: ["run"],
    command: options.command ?? [],
    env: {
      HOME: options.home,
      TOKIAME_GATEWAY_URL: options.hubUrl,
      TOKIAME_NAMESPACE: options.name,
      TOKIAME_TOKEN: options.token,
      TOKIAME_MODEL_TARGETS: JSON.stringify(Object.fromEntries(entries)),
      ...options.env,
    },
  });
}
