import { readFile } from "node:fs/promises";

import { LIMITS } from "../limits.ts";

const LISTEN = "0A";
/** 127.0.0.1 and ::1 in the byte order of a little-endian kernel's table. */
const LOOPBACK = new Set(["0100007F", "00000000000000000000000001000000"]);

/** Ports on which this user's own programs listen on loopback only. Empty where the system has no `/proc`. */
export async function listeningPorts(userId: number | undefined): Promise<number[]> {
  const tables = await Promise.all(
    // Other systems have no such table; the well-known ports are then all there is.
    ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  return tables.flatMap((table) => portsOf(table, userId)).slice(0, LIMITS.maxExtraPorts);
}

/** The ports in one table of proc_pid_net(5) that `userId` listens on, on loopback. */
export function portsOf(table: string, userId: number | undefined): number[] {
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , user] = line.trim().split(/\s+/);
    const [address = "", port = ""] = local.split(":");
    if (state !== LISTEN || !LOOPBACK.has(address) || Number(user) !== userId) return [];
    return [Number.parseInt(port, 16)];
  });
}
