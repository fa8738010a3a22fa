import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One row of the table in README.md. */
export interface FaultRow {
  readonly number: number;
  /** From the root of the repository; undefined when nothing tests it yet. */
  readonly file: string | undefined;
  readonly state: FaultState;
}

export type FaultState =
  | { readonly is: "passes" | "fails" }
  /** By a test whose name holds this. */
  | { readonly is: "covered"; readonly by: string }
  | { readonly is: "waits" | "impossible"; readonly why: string };

/** @throws Error for a row that cannot be read. */
export function readFaultList(): FaultRow[] {
  const page = readFileSync(join(import.meta.dirname, "README.md"), "utf8");
  return page
    .split("\n")
    .filter((line) => /^\| \d/.test(line))
    .map((line) => {
      const [number = "", , , , file = "", state = ""] = line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim());
      return { number: Number(number), file: /^`(.+)`$/.exec(file)?.[1], state: parseState(state, line) };
    });
}

function parseState(text: string, line: string): FaultState {
  if (text === "passes" || text === "fails") return { is: text };
  const by = /^covered: "(.+)"$/.exec(text)?.[1];
  if (by !== undefined) return { is: "covered", by };
  const waits = /^waits for (.+)$/.exec(text)?.[1];
  if (waits !== undefined) return { is: "waits", why: waits };
  const impossible = /^not possible here because (.+)$/.exec(text)?.[1];
  if (impossible !== undefined) return { is: "impossible", why: impossible };
  throw new Error(`A state that is none: ${line}`);
}
