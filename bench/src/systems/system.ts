import type { Target } from "../generators/job.ts";
import type { Machine } from "../machine/machine.ts";
import type { ProcessGroup } from "../machine/process-group.ts";

/** What is measured side by side. `direct`: the engine itself, what the added times are added to. */
export const SYSTEM_NAMES = ["tokilake", "nginx", "node-proxy", "portkey"] as const;

/** Name of a system under test. */
export type SystemName = (typeof SYSTEM_NAMES)[number];

/** A system that answers. */
export interface RunningSystem {
  readonly name: SystemName | "direct" | "v2" | "v1";
  /** The process whose CPU and memory are the system's; undefined for the engine as `direct`. */
  readonly pid: number | undefined;
  /** Where a chat request goes. */
  target(): Target;
  /** Ends its processes. */
  stop(): Promise<void>;
}

/** What a system needs to start. */
export interface Surroundings {
  readonly programs: ProcessGroup;
  readonly machine: Machine;
  /** Port of the simulated engine on 127.0.0.1. */
  readonly enginePort: number;
  /** So many may be open at once: the hub needs enough workers for them. */
  readonly streams: number;
  /** Folder of the repository. */
  readonly root: string;
  /** Where the hub leaves a CPU profile when it ends; undefined: none is taken. */
  readonly profileFolder: string | undefined;
}

/** The core of the system under test. */
export const TESTED_CORE = 0;
/** The core that the engine, the worker and the generator share. */
export const OTHER_CORE = 1;

/** Why a system cannot be measured here, in words for the table; it is left out. */
export class NotInstalled extends Error {}

/** The route that all of the bench uses. */
export const CHAT_PATH = "/v1/chat/completions";
