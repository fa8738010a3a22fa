/** A part of a list that is ordered by an id. */
export interface Page {
  /** At least 1. */
  readonly limit: number;
  /** The id of the last one seen; undefined: from the start. */
  readonly after?: string | undefined;
}
