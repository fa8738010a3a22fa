import type { ServerResponse } from "node:http";

export const SLOW_READER = {
  /** A client that takes nothing of a streamed answer for so long is cut off. Worst case: a socket's buffers for this time. */
  stalledMs: 60_000,
  /** It is looked so often. */
  lookEveryMs: 15_000,
} as const;

/** Breaks the connection when its client stops reading, so that it holds no memory for ever. Ends with the answer. */
export function cutSlowReader(response: ServerResponse): void {
  // Its end was told already: nobody would stop the timer.
  if (response.destroyed || response.closed) return;
  let stalledLooks = 0;
  const timer = setInterval(() => {
    stalledLooks = response.writableNeedDrain ? stalledLooks + 1 : 0;
    if (stalledLooks * SLOW_READER.lookEveryMs > SLOW_READER.stalledMs) response.destroy();
  }, SLOW_READER.lookEveryMs).unref();
  // It took something meanwhile, although there may be more again.
  response.on("drain", () => {
    stalledLooks = 0;
  });
  response.once("close", () => clearInterval(timer));
}
