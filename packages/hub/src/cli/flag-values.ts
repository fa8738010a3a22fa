import { UsageError } from "./cli-error.ts";

/** Rows shown when no `--limit` is given. */
const DEFAULT_LIMIT = 1000;

/** `--limit`. @throws UsageError */
export function limitOf(limit: string | undefined): number {
  return limit === undefined ? DEFAULT_LIMIT : wholeNumberOf("limit", limit);
}

/** A count from 1 on. @throws UsageError */
export function wholeNumberOf(flag: string, text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new UsageError(`--${flag} is a whole number from 1 to 9999999`);
  return Number(text);
}

/** `--expires`: a day or time as ISO 8601 writes it, or how long from now, such as `30d`. @throws UsageError */
export function expiryOf(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+[smhd]$/.test(text)) return nowMs + durationOf("expires", text);
  const [day] = /^\d{4}-\d\d-\d\d(?=$|T)/.exec(text) ?? [];
  const atMs = day !== undefined && isDay(day) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(atMs)) throw new UsageError("--expires is a day such as 2030-12-31, or a time from now such as 30d");
  return atMs;
}

/** There is no 30th of February, which a Date takes for the 2nd of March. */
function isDay(text: string): boolean {
  const atMs = Date.parse(text);
  return !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(text);
}

const MS_OF: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** How long, such as `12h`, in milliseconds. @throws UsageError */
export function durationOf(flag: string, text: string): number {
  const [, count, unit = ""] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const unitMs = MS_OF[unit];
  if (unitMs === undefined) throw new UsageError(`--${flag} is a number and one of s, m, h and d, such as 12h`);
  return Number(count) * unitMs;
}

/** A time as lists show it, in UTC. */
export function shownTime(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 16).replace("T", " ");
}

/** A text of somebody's: control characters could rewrite what a terminal shows. Names from before that was checked may have some. */
export function shownText(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "?");
}
