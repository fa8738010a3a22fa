import * as z from "zod";

import { AppError } from "../errors.ts";

/** Objects of one page of a list. */
export const PAGE_LIMITS = {
  /** When `limit` is left out. */
  usual: 20,
  /** The largest `limit`. */
  most: 100,
} as const;

/** A whole number in a query: digits only, as Number() would take "" for 0. */
export function wholeNumber(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .string(message)
    .regex(/^\d{1,16}$/, message)
    .transform(Number)
    .pipe(z.int().min(min, message).max(max, message));
}

/** `?limit=&cursor=`, to be spread into a route's query. */
export const PAGE_QUERY = {
  limit: wholeNumber(1, PAGE_LIMITS.most)
    .default(PAGE_LIMITS.usual)
    .describe("How many objects, 1 to 100; 20 when left out"),
  cursor: z.string().max(512).exactOptional().describe("Where to go on: `next_cursor` of the page before"),
};

/** A page of a list, as JSON. */
export function listOf<T extends z.ZodType>(item: T) {
  return z.object({
    object: z.literal("list"),
    data: z.array(item),
    has_more: z.boolean(),
    next_cursor: z.string().nullable().describe("For `cursor` of the next page; null on the last one"),
  });
}

/**
 * The query's page for a store: one row more than asked for, which says whether there is another page.
 *
 * @throws AppError `invalid_request` for a cursor that is none of ours.
 */
export function pageOf(query: { readonly limit: number; readonly cursor?: string }): {
  readonly limit: number;
  readonly after?: string;
} {
  const { limit, cursor } = query;
  return cursor === undefined ? { limit: limit + 1 } : { limit: limit + 1, after: idOfCursor(cursor) };
}

/** The answer to a query: `rows` as the store gave them for {@link pageOf}, each shown by `show`. */
export function toPage<Row extends { readonly id: string }, Item>(
  rows: readonly Row[],
  { limit }: { readonly limit: number },
  show: (row: Row) => Item,
): { object: "list"; data: Item[]; has_more: boolean; next_cursor: string | null } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const hasMore = rows.length > limit;
  return {
    object: "list",
    data: page.map(show),
    has_more: hasMore,
    next_cursor: hasMore && last !== undefined ? cursorOf(last.id) : null,
  };
}

/** Opaque, so that nobody builds on what is in it. */
function cursorOf(id: string): string {
  return Buffer.from(`1:${id}`).toString("base64url");
}

function idOfCursor(cursor: string): string {
  const text = Buffer.from(cursor, "base64url").toString();
  const id = text.slice(2);
  // No id of ours has U+0000, and PostgreSQL fails where one comes.
  if (text.startsWith("1:") && cursorOf(id) === cursor && !id.includes("\0")) return id;
  throw new AppError("invalid_request", "cursor: is none that this hub gave.", { param: "cursor" });
}
