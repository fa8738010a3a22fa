import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { runToEnd } from "./child-program.ts";
import type { HubClient } from "./hub-client.ts";
import { poll } from "./poll.ts";
import { Problem } from "./problem.ts";

/** The keys that `npm start` keeps from one start to the next, in `start.json` of the data folder. */
export interface StartKeys {
  /** For clients. */
  readonly apiKey: string;
  /** For the worker that is started here. */
  readonly workerKey: string;
  /** For workers on other machines, so that it can be revoked without stopping the one here. */
  readonly joinKey: string;
}

/** A running hub refuses a key that another process just made until it looks into the database again. */
const NOTICE_MS = 5000;

/** The kept keys, with new ones in the place of those that are missing or that the hub refuses. */
export async function prepareKeys(dataDir: string, hub: HubClient, signal: AbortSignal): Promise<StartKeys> {
  const kept = await readKeys(dataDir);
  const isApiKey = async (key: string) => (await hub.models(key)) !== undefined;
  const isWorkerKey = (key: string) => hub.acceptsWorker(key);
  const use = async (key: string | undefined, kind: "api" | "worker", name: string) => {
    const isAccepted = kind === "api" ? isApiKey : isWorkerKey;
    if (key !== undefined && (await isAccepted(key))) return key;
    const made = await createKey(dataDir, kind, name);
    const noticed = await poll(async () => (await isAccepted(made)) || undefined, NOTICE_MS, signal);
    if (noticed === undefined) throw new Problem(`The hub does not take the ${kind} key that was just made for it.`);
    return made;
  };
  const [apiKey, workerKey, joinKey] = await Promise.all([
    use(kept.apiKey, "api", "npm start"),
    use(kept.workerKey, "worker", "npm start"),
    use(kept.joinKey, "worker", "other machines"),
  ]);
  const keys = { apiKey, workerKey, joinKey };
  await writeKeys(dataDir, keys);
  return keys;
}

async function readKeys(dataDir: string): Promise<Partial<StartKeys>> {
  const text = await readFile(join(dataDir, "start.json"), "utf8").catch(() => "{}");
  try {
    const kept: unknown = JSON.parse(text);
    const entries = typeof kept === "object" && kept !== null ? Object.entries(kept) : [];
    return Object.fromEntries(entries.filter(([, value]) => typeof value === "string"));
  } catch {
    // A file that was cut short is as good as none: new keys are made, the old ones can be revoked.
    return {};
  }
}

/** Whole or not at all, and for this user only. */
async function writeKeys(dataDir: string, keys: StartKeys): Promise<void> {
  const path = join(dataDir, "start.json");
  await writeFile(`${path}.new`, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

async function createKey(dataDir: string, kind: "api" | "worker", name: string): Promise<string> {
  const args = ["keys", "create", "--kind", kind, "--name", name, "--data-dir", dataDir];
  const secret = await runToEnd({ name: "tokilake keys", script: "packages/hub/src/main.ts", args, env: process.env });
  return secret.trim();
}
