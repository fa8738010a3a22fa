/** Set by `npm run e2e:faults`. */
export const LONG_VARIABLE = "TOKILAKE_LONG_TESTS";

/**
 * Options of a test that takes long, most often because it waits: `npm test` skips it and says so, `npm run e2e:faults` runs it.
 *
 * @param seconds About how long it takes, shown with the reason.
 */
export function takes(seconds: number): { readonly skip?: string; readonly timeout: number } {
  const timeout = Math.max(60, seconds * 3) * 1000;
  if (process.env[LONG_VARIABLE] === "1") return { timeout };
  return { timeout, skip: `it takes ${seconds} s; npm run e2e:faults runs it` };
}
