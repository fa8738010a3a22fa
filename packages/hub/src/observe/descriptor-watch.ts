import { open } from "node:fs/promises";
import { devNull } from "node:os";

import type { Log } from "./log.ts";

export const DESCRIPTOR_WATCH = {
  /** Opens and closes files this often, to see whether descriptors are left. Takes under a millisecond. */
  askEveryMs: 1_000,
  /** So many must be left: a thread that starts anew needs some. */
  spare: 16,
  /** While none is left the log says so this often. */
  tellEveryMs: 60_000,
} as const;

const OUT_OF_DESCRIPTORS: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE"]);

/**
 * Says in the log when the process may open no more files and sockets, until it is disposed. Nobody else does: libuv takes a
 * connection for which no descriptor is left and closes it without a word, so clients and workers only see it end.
 */
export function watchDescriptors(log: Log): Disposable {
  let isTold = false;
  let toldAt = -Infinity;
  const ask = async (): Promise<void> => {
    const code = await codeOfOpening();
    const isOut = OUT_OF_DESCRIPTORS.has(code);
    if (isOut && performance.now() - toldAt >= DESCRIPTOR_WATCH.tellEveryMs) {
      isTold = true;
      toldAt = performance.now();
      log.error({ code }, HARDLY_ANY);
    }
    if (isOut || !isTold) return;
    isTold = false;
    log.info({}, "there are file descriptors again");
  };
  const timer = setInterval(() => void ask(), DESCRIPTOR_WATCH.askEveryMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const HARDLY_ANY =
  "hardly a file descriptor is left, and without one connections are closed as they come: raise the limit (ulimit -n, LimitNOFILE= of systemd)";

/** Undefined: there are enough. */
async function codeOfOpening(): Promise<unknown> {
  const opened = await Promise.allSettled(Array.from({ length: DESCRIPTOR_WATCH.spare }, () => open(devNull)));
  let code: unknown;
  for (const each of opened) {
    if (each.status === "fulfilled") await each.value.close();
    else code = codeOf(each.reason);
  }
  return code;
}

function codeOf(thrown: unknown): unknown {
  return thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
}
