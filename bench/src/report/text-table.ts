/** A table of cells; a row of one cell is a heading over the full width. */
export type Cells = readonly (readonly string[])[];

/**
 * Aligns cells in columns: the first to the left, the others to the right, two spaces between. A row with a single cell
 * is printed as it stands and widens nothing. No trailing spaces.
 */
export function alignTable(rows: Cells): string {
  const widths: number[] = [];
  for (const row of rows) {
    if (row.length === 1) continue;
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  const lines = rows.map((row) => (row.length === 1 ? (row[0] ?? "") : alignRow(row, widths)));
  return lines.map((line) => `${line}\n`).join("");
}

function alignRow(row: readonly string[], widths: readonly number[]): string {
  const cells = row.map((cell, column) => {
    const width = widths[column] ?? 0;
    return column === 0 ? cell.padEnd(width) : cell.padStart(width);
  });
  return cells.join("  ").trimEnd();
}
