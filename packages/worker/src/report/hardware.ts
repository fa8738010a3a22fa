import { execFile } from "node:child_process";
import { availableParallelism, arch, platform, totalmem } from "node:os";

import { LIMITS } from "../limits.ts";

/** What the machine is made of. No host name, no address, no user. */
export interface Hardware {
  readonly os: string;
  readonly arch: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  /** Absent: unknown, not none. */
  readonly gpus?: readonly Gpu[];
}

export interface Gpu {
  readonly name: string;
  readonly memoryBytes: number;
}

const MIB = 1024 * 1024;
const QUERY = ["--query-gpu=name,memory.total", "--format=csv,noheader,nounits"];

export async function readHardware(): Promise<Hardware> {
  const gpus = gpusOf(await runNvidiaSmi());
  return {
    os: platform(),
    arch: arch(),
    cpuCount: availableParallelism(),
    memoryBytes: totalmem(),
    ...(gpus.length > 0 && { gpus }),
  };
}

/** @param csv Lines of `name, MiB`. Lines that are something else are passed over. */
export function gpusOf(csv: string): Gpu[] {
  return csv.split("\n").flatMap((line) => {
    const match = /^(.{1,128}), *(\d{1,9})\s*$/.exec(line);
    return match === null ? [] : [{ name: match[1] ?? "", memoryBytes: Number(match[2]) * MIB }];
  });
}

async function runNvidiaSmi(): Promise<string> {
  return new Promise((resolve) => {
    const options = { timeout: LIMITS.gpuQueryTimeoutMs, maxBuffer: 64 * 1024 };
    // Most machines have no such program: then there is nothing to tell.
    execFile("nvidia-smi", QUERY, options, (error, output) => resolve(error === null ? output : ""));
  });
}
