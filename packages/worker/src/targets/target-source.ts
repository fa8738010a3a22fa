import type { Target } from "./target.ts";

/** Where targets come from: the owner's configuration, or a look at this machine. */
export interface TargetSource {
  /** By name. Changes only in `refresh`. */
  readonly targets: ReadonlyMap<string, Target>;
  /** Looks at the engines again: which are there, which models they have. Never rejects. */
  refresh(): Promise<void>;
  /** Asks busy engines for their own view of their load. Never rejects. */
  refreshLoad(): Promise<void>;
  /** Sentences for the owner on what is not shared and why, from the last look. */
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/** `base`, or `base-2` and so on when it is taken. */
export function freeName(base: string, isTaken: (name: string) => boolean): string {
  if (!isTaken(base)) return base;
  for (let number = 2; ; number++) {
    if (!isTaken(`${base}-${number}`)) return `${base}-${number}`;
  }
}
