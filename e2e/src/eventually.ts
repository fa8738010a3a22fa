import { setTimeout as sleep } from "node:timers/promises";

/** Between two looks at what another process tells only when asked. */
const LOOK_EVERY_MS = 20;

/**
 * Asks until `look` gives something, for what other processes tell only when they are asked.
 *
 * @param what Completes "Not within 10000 ms: …".
 * @throws Error after `timeoutMs`, with what the last look threw as its cause.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 10_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    let cause: unknown;
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (thrown) {
      // Most often a connection that is refused because the program is not up yet.
      cause = thrown;
    }
    if (performance.now() > end) throw new Error(`Not within ${timeoutMs} ms: ${what}`, { cause });
    await sleep(LOOK_EVERY_MS);
  }
}
