import { AppError } from "../errors.ts";

/** @throws AppError `precondition_failed` when somebody changed it since the caller looked. `seen` undefined: does not ask. */
export function checkVersion(current: { readonly version: number }, seen: number | undefined): void {
  if (seen === undefined || seen === current.version) return;
  throw new AppError(
    "precondition_failed",
    "It was changed since you looked. Read it again, and send its new version as If-Match.",
  );
}
