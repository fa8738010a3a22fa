/** A value with two or three digits that matter: "0.12", "9.1", "58.3", "961", "20,134". */
export function formatValue(value: number): string {
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  if (size >= 100) return value.toFixed(0);
  if (size >= 3) return value.toFixed(1);
  return value.toFixed(2);
}

/** How many times `base` the value is: "0.97×", "12×". A dash where that says nothing: nothing to compare with. */
export function formatRatio(value: number | undefined, base: number | undefined): string {
  if (value === undefined || base === undefined || base <= 0 || value < 0) return "–";
  const ratio = value / base;
  return `${ratio >= 9.95 ? ratio.toFixed(0) : ratio.toFixed(2)}×`;
}
