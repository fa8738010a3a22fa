import { parseArgs } from "node:util";

import { SYSTEM_NAMES, type SystemName } from "./systems/system.ts";

/** Rows that can be asked for, in the order they run. */
export const ROW_NAMES = [
  "request",
  "stream-paced",
  "stream-flat-out",
  "latency",
  "first-token",
  "memory",
  "tunnel-request",
  "tunnel-chunks",
  "tunnel-bulk",
  "tunnel-idle",
  "tunnel-growth",
] as const;

/** Name of a row. */
export type RowName = (typeof ROW_NAMES)[number];

const TUNNEL_ROWS = ROW_NAMES.filter((name) => groupOf(name) === "tunnel");
const HUB_ROWS = ROW_NAMES.filter((name) => groupOf(name) === "hub");

/** One run of the harness. */
export interface BenchOptions {
  readonly rows: readonly RowName[];
  readonly rounds: number;
  /** Time that counts in each round of a row. */
  readonly seconds: number;
  readonly systems: readonly SystemName[];
  /** Waits for other programs to be quiet, and measures again what they disturbed. */
  readonly isPatient: boolean;
  /** File that gets the tables and what they mean; undefined: none. */
  readonly write: string | undefined;
  /** What takes a CPU profile: the hub's process, or the tunnel's server of version 2. */
  readonly profile: "hub" | "tunnel" | undefined;
}

/** What `--help` prints. */
export const USAGE = `npm run bench -- [options]
  --rows LIST      of ${HUB_ROWS.join(", ")},
                   ${TUNNEL_ROWS.join(", ")};
                   "hub" and "tunnel" are all of a line (default: all)
  --rounds N       interleaved rounds, medians are taken over them (default 5)
  --seconds N      time that counts per round, row and system (default 2)
  --peers LIST     of nginx, node-proxy, portkey (default: all; "" for none)
  --without-hub    measure the peers alone
  --patient        wait for quiet before each measurement and repeat what others disturbed (may take long)
  --quick          1 round of 1 second, without memory: is everything there and working?
  --write FILE     write the tables and what they mean, e.g. docs/benchmarks.md; sections not measured stay as they are
  --profile WHAT   take a CPU profile of the hub or of the tunnel's server, keep it in bench/results/, print its top
`;

/**
 * Reads the command line; `undefined` when it asks for help.
 *
 * @throws TypeError, fit to be shown, when it is not understood.
 */
export function parseOptions(args: readonly string[]): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      peers: { type: "string" },
      "without-hub": { type: "boolean", default: false },
      patient: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      write: { type: "string" },
      profile: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  const peers = SYSTEM_NAMES.filter((name) => name !== "tokilake");
  const asked = listOf("--peers", values.peers, peers) ?? peers;
  const quickRows = ROW_NAMES.filter((name) => name !== "memory" && name !== "tunnel-idle");
  return {
    rows: rowsOf(values.rows) ?? (values.quick ? quickRows : ROW_NAMES),
    rounds: numberOf("--rounds", values.rounds, { min: 1, max: 100 }) ?? (values.quick ? 1 : 5),
    seconds: numberOf("--seconds", values.seconds, { min: 1, max: 600 }) ?? (values.quick ? 1 : 2),
    systems: values["without-hub"] ? asked : ["tokilake", ...asked],
    isPatient: values.patient,
    write: values.write,
    profile: listOf("--profile", values.profile, ["hub", "tunnel"])?.[0],
  };
}

/** As `listOf`, with the two groups by name. */
function rowsOf(text: string | undefined): readonly RowName[] | undefined {
  const asked = listOf("--rows", text, [...ROW_NAMES, "hub", "tunnel"]);
  return asked && ROW_NAMES.filter((name) => asked.includes(name) || asked.includes(groupOf(name)));
}

function groupOf(name: RowName): "hub" | "tunnel" {
  return name.startsWith("tunnel-") ? "tunnel" : "hub";
}

/** The names in `text`, in the order of `known`. */
function listOf<T extends string>(flag: string, text: string | undefined, known: readonly T[]): T[] | undefined {
  if (text === undefined) return undefined;
  const asked = text.split(",").filter((name) => name !== "");
  const unknown = asked.filter((name) => !known.some((other) => other === name));
  if (unknown.length > 0)
    throw new TypeError(`${flag} does not know ${unknown.join(", ")}; it knows ${known.join(", ")}`);
  return known.filter((name) => asked.includes(name));
}

function numberOf(
  flag: string,
  text: string | undefined,
  range: { readonly min: number; readonly max: number },
): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= range.min && value <= range.max) return value;
  throw new TypeError(`${flag} takes a whole number from ${range.min} to ${range.max}`);
}
