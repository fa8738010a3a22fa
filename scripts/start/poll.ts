import { setTimeout as sleep } from "node:timers/promises";

/** Between two looks. */
const EVERY_MS = 50;

/** What `look` gives, asked again until it gives something; undefined after `timeoutMs`. @throws The signal's reason. */
export async function poll<T>(
  look: () => Promise<T | undefined>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (const end = performance.now() + timeoutMs; performance.now() < end;) {
    signal.throwIfAborted();
    const found = await look();
    if (found !== undefined) return found;
    // Its own error only wraps the reason, which is what is told.
    await sleep(EVERY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
  return undefined;
}
