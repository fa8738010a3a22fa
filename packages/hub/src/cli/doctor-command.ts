import { accessSync, constants, existsSync, statfsSync } from "node:fs";
import { createServer } from "node:net";
import { dirname } from "node:path";

import type { HubConfig } from "../config.ts";
import { keyRecords } from "../store/key-store.ts";
import { openStore } from "../store/open-store.ts";
import { CommandError } from "./cli-error.ts";
import type { Output } from "./command.ts";

const LOW_DISK_BYTES = 1024 ** 3;

const PROBE_TIMEOUT_MS = 2000;

type Check = { readonly is: "good" | "note" | "bad"; readonly text: string };

/** `doctor`: can a hub run here with this configuration? One line a check. @throws CommandError when one of them is bad. */
export async function runDoctor(config: HubConfig, output: Output): Promise<void> {
  const checks = [checkDataDir(config.dataDir), await checkDatabase(config.databaseUrl), await checkPort(config)];
  const marks = { good: "ok  ", note: "note", bad: "BAD " };
  for (const check of checks) output.stdout(`${marks[check.is]}  ${check.text}\n`);
  const bad = checks.filter((check) => check.is === "bad").length;
  if (bad > 0)
    throw new CommandError(`${bad} of ${checks.length} checks failed. Mend them and run tokilake doctor again`);
}

function checkDataDir(dataDir: string): Check {
  const existing = nearestExisting(dataDir);
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
  } catch {
    return {
      is: "bad",
      text: `data folder: this user cannot write in ${existing}; choose another one with --data-dir`,
    };
  }
  const { bavail, bsize } = statfsSync(existing);
  const free = bavail * bsize;
  if (free < LOW_DISK_BYTES) {
    return { is: "note", text: `data folder: ${dataDir}, only ${Math.floor(free / 1024 ** 2)} MiB free` };
  }
  return { is: "good", text: `data folder: ${dataDir}, ${(free / 1024 ** 3).toFixed(1)} GiB free` };
}

function nearestExisting(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestExisting(dirname(path));
}

/** A database that is missing is not made; one of an older version is brought up to date, as every command does. */
async function checkDatabase(url: string): Promise<Check> {
  const path = url.startsWith("sqlite:") ? url.slice("sqlite:".length) : undefined;
  if (path !== undefined && !existsSync(path)) {
    return { is: "good", text: `database: ${path} will be made at the first start` };
  }
  try {
    await using store = await openStore(url);
    const [newest] = await keyRecords(store.database.db, {}, { limit: 1 });
    if (newest === undefined) {
      return { is: "note", text: "database: no key yet; make one: tokilake keys create --kind api --name NAME" };
    }
    return { is: "good", text: `database: ${path ?? "PostgreSQL"}` };
  } catch (thrown) {
    return { is: "bad", text: `database: ${thrown instanceof Error ? thrown.message : String(thrown)}` };
  }
}

async function checkPort(config: HubConfig): Promise<Check> {
  const where = `${config.host} port ${config.port}`;
  const error = await tryToListen(config.host, config.port);
  if (error === undefined) return { is: "good", text: `address: ${where} is free` };
  if (error === "EADDRINUSE" && (await isHub(config))) return { is: "note", text: `address: a hub runs on ${where}` };
  const why = error === "EADDRINUSE" ? "another program has it" : `cannot be listened on (${error})`;
  return { is: "bad", text: `address: ${where}: ${why}; choose another one with --port or --host` };
}

async function tryToListen(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const server = createServer();
  server.once("error", (error) => resolve("code" in error ? String(error.code) : error.message));
  server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  return promise;
}

async function isHub(config: HubConfig): Promise<boolean> {
  const host = config.host === "0.0.0.0" || config.host === "::" ? "127.0.0.1" : config.host;
  const authority = host.includes(":") ? `[${host}]:${config.port}` : `${host}:${config.port}`;
  try {
    const answer = await fetch(`http://${authority}/healthz`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return answer.ok && answer.headers.has("x-request-id");
  } catch {
    // Whatever has the port does not speak HTTP, or not in time: not a hub.
    return false;
  }
}
