/** What the process answers to whoever started it. Never renumbered: scripts and service managers rely on them. */
export const EXIT_CODES = {
  ok: 0,
  /** A fault of ours. */
  internal: 1,
  /** Wrong flags or configuration. Starting again does not help. */
  config: 2,
  /** Nothing on this machine to share. */
  noEngine: 3,
  /** The hub does not take the token. */
  badToken: 4,
  /** Only `doctor`: `run` keeps trying. */
  hubUnreachable: 5,
  /** The hub does not take this worker: the name belongs to somebody else, or the group is not open to it. */
  refused: 6,
  /** Hub and worker speak no common version. */
  version: 7,
} as const;

export type ExitReason = keyof typeof EXIT_CODES;

/** An end that the owner can do something about. The message is one line: what happened, and the next step. */
export class Stop extends Error {
  override readonly name = "Stop";
  readonly reason: ExitReason;

  constructor(reason: ExitReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
