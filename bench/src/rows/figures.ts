import type { RowName } from "../options.ts";

/** One line of the table: something that is measured for several systems. */
export interface Figure {
  readonly id: string;
  readonly row: RowName;
  /** At most 36 characters. */
  readonly title: string;
  readonly unit: "µs" | "ms" | "ms/s" | "KB" | "Gbit/s" | "×";
  /** What the design asks for; undefined: nothing, the number is for who wants to know. */
  readonly goal: number | undefined;
  /** Higher is better. Else lower is. */
  readonly isMoreBetter?: boolean;
  /** The engine's own time in the same round is taken off. */
  readonly isAdded?: boolean;
  /** What the number means, for the document. */
  readonly meaning: string;
}

/** A line of the last block: what the systems did while they were measured. */
export interface LoadLine {
  readonly id: string;
  readonly row: RowName;
  readonly title: string;
  readonly unit: string;
}

/** Tables that belong together: one subject, beside others. */
export interface Sheet {
  /** Name of its section of the document, and of the rows that fill it. */
  readonly name: "hub" | "tunnel";
  /** In the order of the table. */
  readonly figures: readonly Figure[];
  readonly loadLines: readonly LoadLine[];
  /** The system that ratios are of. */
  readonly subject: string;
}
