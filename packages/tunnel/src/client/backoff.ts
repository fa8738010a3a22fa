import type { TunnelLimits } from "../limits.ts";

/** Full jitter: anything from nothing to the bound, so that a thousand workers do not come back together. */
export function retryDelayMs(attempt: number, limits: TunnelLimits, random: () => number): number {
  return Math.round(random() * Math.min(limits.maxRetryMs, limits.firstRetryMs * 2 ** Math.min(attempt, 30)));
}

/** The milliseconds a Retry-After asks for (RFC 9110 §10.2.3: seconds or a date), undefined when there are none. */
export function retryAfterMs(header: string | undefined, nowUnixMs: number): number | undefined {
  if (header === undefined || header === "") return undefined;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - nowUnixMs;
  return Number.isFinite(ms) && ms >= 0 ? ms : undefined;
}
