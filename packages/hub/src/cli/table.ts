/** Rows as columns under their headings, two blanks apart. The last column is not padded, so that no line ends in blanks. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) => {
    return rows.reduce((width, row) => Math.max(width, (row[column] ?? "").length), heading.length);
  });
  const line = (cells: readonly string[]): string =>
    cells.map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join("  ");
  return [headings, ...rows].map((cells) => `${line(cells)}\n`).join("");
}

/** How long ago, in the largest unit that fits: `just now`, `5 min ago`, `3 h ago`, `12 d ago`. */
export function ago(atMs: number, nowMs: number): string {
  const minutes = Math.floor((nowMs - atMs) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return `${Math.floor(minutes / 60 / 24)} d ago`;
}
