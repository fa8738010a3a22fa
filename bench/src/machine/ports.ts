import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

/** A port that nobody listens on at this moment, for a program that cannot be told to pick one itself. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  return address.port;
}

/**
 * Asks `isReady` every 20 ms until it says yes. A throw counts as no.
 *
 * @throws Error naming `what` after `timeoutMs`, or as soon as `isOver` says that it is in vain, with the last throw as
 *   its cause.
 */
export async function waitUntil(
  what: string,
  isReady: () => boolean | Promise<boolean>,
  options: { readonly timeoutMs: number; readonly isOver: () => boolean },
): Promise<void> {
  const deadline = performance.now() + options.timeoutMs;
  let cause: unknown;
  while (performance.now() < deadline && !options.isOver()) {
    try {
      if (await isReady()) return;
    } catch (error) {
      cause = error;
    }
    await wait(20);
  }
  throw new Error(`${what} did not become ready.`, { cause });
}
