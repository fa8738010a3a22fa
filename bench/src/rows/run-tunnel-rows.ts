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
  if (rows.includes("tunnel-idle")) await runTunnelIdleRow(bench);
  if (rows.includes("tunnel-growth")) await runTunnelGrowthRow(bench);
  return { systems: TUNNEL_NAMES, missing: [] };
}
