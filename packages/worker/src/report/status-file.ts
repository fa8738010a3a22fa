import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import * as z from "zod";

import { SERVED } from "./served.ts";

const status = z.object({
  pid: z.number().int().positive(),
  workerId: z.string(),
  gatewayUrl: z.string(),
  startedAt: z.string(),
  link: z.string(),
  models: z.array(z.object({ id: z.string(), target: z.string(), loaded: z.boolean().optional() })),
  /** Absent: the hub did not say. */
  served: SERVED.optional(),
  targets: z.array(z.object({ name: z.string(), engine: z.string(), running: z.number(), slots: z.number() })),
});

/** What a running worker tells `tokiame status`. */
export type WorkerStatus = z.infer<typeof status>;

/** Where running workers leave their status, readable for their owner only. */
export function statusFolder(home: string): string {
  return join(home, ".tokilake", "run");
}

/** One worker's status on disk. Writes one after the other, so that the last is what stays. */
export class StatusFile {
  readonly #folder: string;
  readonly #path: string;
  #writing: Promise<void> = Promise.resolve();
  #last = "";

  constructor(folder: string, pid: number) {
    this.#folder = folder;
    this.#path = join(folder, `tokiame-${pid}.json`);
  }

  /** Writes when something changed. @throws Error of the file system; a worker serves without its status file too. */
  async write(current: WorkerStatus): Promise<void> {
    const content = `${JSON.stringify(current)}\n`;
    if (content === this.#last) return;
    this.#last = content;
    // The order is kept even when one write fails; its own caller hears of it.
    const write = this.#writing.then(() => this.#replace(content));
    this.#writing = write.catch(() => undefined);
    await write;
  }

  async remove(): Promise<void> {
    await this.#writing;
    await rm(this.#path, { force: true });
  }

  async #replace(content: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    // A reader must never see half a file.
    await writeFile(`${this.#path}.new`, content, { mode: 0o600 });
    await rename(`${this.#path}.new`, this.#path);
  }
}

/** The workers that run now. Files of those that died are removed. */
export async function readStatuses(folder: string, isRunning: (pid: number) => boolean): Promise<WorkerStatus[]> {
  // No folder: no worker ever ran here.
  const names = await readdir(folder).catch((): string[] => []);
  const found: WorkerStatus[] = [];
  for (const name of names.filter((file) => /^tokiame-\d+\.json$/.test(file)).slice(0, 1000)) {
    const parsed = status.safeParse(await readJson(join(folder, name)));
    if (parsed.success && isRunning(parsed.data.pid)) found.push(parsed.data);
    else await rm(join(folder, name), { force: true });
  }
  return found;
}

/** True when a process with this id exists, ours or not. */
export function isProcessRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

async function readJson(path: string): Promise<unknown> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    return value;
  } catch {
    // Removed or broken meanwhile: the same as not there.
    return undefined;
  }
}
