import type { Page } from "../store/page.ts";
import type { Output } from "./command.ts";
import { limitOf } from "./flag-values.ts";
import { table } from "./table.ts";

/** How a list is shown: as a table to people, as JSON to scripts. */
export interface ListShape<Row> {
  readonly headings: readonly string[];
  readonly rowOf: (row: Row) => readonly string[];
  /** `null` for what is not known: others read this. */
  readonly toJson: (row: Row) => object;
  /** What people are told in place of an empty table. */
  readonly empty: string;
}

/**
 * Shows what `read` gives, at most `--limit` of it, and says when that is not all.
 *
 * @throws UsageError for a limit that is none.
 */
export async function showList<Row>(
  asked: {
    readonly flags: { readonly json?: boolean | undefined; readonly limit?: string | undefined };
    readonly output: Output;
  },
  read: (page: Page) => Promise<readonly Row[]>,
  { headings, rowOf, toJson, empty }: ListShape<Row>,
): Promise<void> {
  const { flags, output } = asked;
  const limit = limitOf(flags.limit);
  // One more than is shown says whether there are more.
  const found = await read({ limit: limit + 1 });
  const rows = found.slice(0, limit);
  if (flags.json === true) output.stdout(`${JSON.stringify(rows.map(toJson), null, 2)}\n`);
  else if (rows.length === 0) output.stderr(`${empty}\n`);
  else output.stdout(table(headings, rows.map(rowOf)));
  if (found.length > limit) output.stderr(`There are more than ${limit}. See them with --limit N.\n`);
}
