/** One credit is so many of the units that amounts are counted in. */
const NANO = 1_000_000_000n;

/** As much as the database keeps exactly: 9,007,199.254740991 credits. */
export const MAX_CREDITS = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * Nano-credits from credits as people and JSON write them: digits, at most nine of them after a point. undefined for anything
 * else, and for more than {@link MAX_CREDITS}.
 */
export function parseCredits(text: string): bigint | undefined {
  const [, whole, fraction = ""] = /^(\d{1,10})(?:\.(\d{1,9}))?$/.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const amount = BigInt(whole) * NANO + BigInt(fraction.padEnd(9, "0"));
  return amount <= MAX_CREDITS ? amount : undefined;
}

/** Nano-credits as credits, exactly: `1.5`, `-0.000000001`, `20`. */
export function formatCredits(amount: bigint): string {
  const size = amount < 0n ? -amount : amount;
  const fraction = `${size % NANO}`.padStart(9, "0").replace(/0+$/, "");
  return `${amount < 0n ? "-" : ""}${size / NANO}${fraction === "" ? "" : `.${fraction}`}`;
}
