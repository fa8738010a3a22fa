import type { MuxEnvironment } from "../mux/mux-carrier.ts";

/** As that of the mux, and a timer: an unanswered cancellation is repeated after a quarter of a second. */
export interface V1Environment extends MuxEnvironment {
  /** Runs `task` once, `ms` later. It does not keep the process alive. */
  after(ms: number, task: () => void): void;
}
