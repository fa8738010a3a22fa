import { startTunnel, TUNNEL_NAMES } from "../tunnel/start-tunnel.ts";
import type { Bench } from "./bench.ts";
import type { MeasuredSystems } from "./run-hub-rows.ts";
import { runLoadRow } from "./run-load-row.ts";
import { runTunnelBulkRow } from "./tunnel-bulk-row.ts";
import { runTunnelGrowthRow } from "./tunnel-growth-row.ts";
import { runTunnelIdleRow } from "./tunnel-idle-row.ts";
import { TUNNEL_LOAD_ROWS } from "./tunnel-load-rows.ts";

/** The tunnel alone: all of its rows that were asked for. */
export async function runTunnelRows(bench: Bench): Promise<MeasuredSystems> {
  const { rows } = bench.options;
  for (const row of TUNNEL_LOAD_ROWS) {
    if (!rows.includes(row.name)) continue;
    const starting = TUNNEL_NAMES.map((name) => startTunnel(bench.surroundings, { name, sessions: row.sessions }));
    const systems = await Promise.all(starting);
    await runLoadRow(bench, row, systems, () => Promise.resolve());
    await Promise.all(systems.map((system) => system.stop()));
  }
  if (rows.includes("tunnel-bulk")) await runTunnelBulkRow(bench);
  if (rows.includes("tunnel-growth")) await runTunnelGrowthRow(bench);
  const missing = rows.includes("tunnel-idle") ? await tryIdleRow(bench) : [];
  return { systems: TUNNEL_NAMES, missing };
}

/** Last, and without harm for the others: a machine that others keep busy may be too slow for ten thousand handshakes. */
async function tryIdleRow(bench: Bench): Promise<string[]> {
  try {
    await bench.surroundings.programs.withoutPinning(() => runTunnelIdleRow(bench));
    return [];
  } catch (error) {
    const reason = `idle workers: ${error instanceof Error ? error.message : String(error)}`;
    bench.say(reason);
    return [reason];
  }
}
