import { AppError } from "../errors.ts";
import { isPlain } from "../plain-text.ts";
import { GROUP_LIMITS } from "./group-limits.ts";

/** 3 to 64 of a-z, 0-9 and hyphens, none of them first or last. */
const SLUG = /^[a-z0-9](?:[a-z0-9-]{1,62})[a-z0-9]$/;

/** Words that mean something else where a group is named. */
const RESERVED: ReadonlySet<string> = new Set([
  "admin",
  "all",
  "any",
  "api",
  "auto",
  "default",
  "everyone",
  "hub",
  "join",
  "new",
  "none",
  "null",
  "operator",
  "owner",
  "private",
  "public",
  "root",
  "self",
  "undefined",
]);

/** @throws AppError `invalid_request` unless a group may be called so. */
export function checkSlug(slug: string): void {
  if (!SLUG.test(slug)) {
    throw refused("slug", "slug: must be 3 to 64 lower-case letters, digits and hyphens, with no hyphen at its ends.");
  }
  if (RESERVED.has(slug)) throw refused("slug", `slug: "${slug}" is reserved. Choose another.`);
}

/** A name as people gave it, without blanks around it. @throws AppError `invalid_request` */
export function checkedName(name: string, field = "name"): string {
  const trimmed = name.trim();
  if (trimmed === "") throw refused(field, `${field}: must not be empty.`);
  return checkedText(trimmed, field, GROUP_LIMITS.maxNameLength);
}

/** A text of one line that may be empty. @throws AppError `invalid_request` */
export function checkedText(text: string, field: string, maxLength: number): string {
  if (text.length > maxLength || !isPlain(text)) {
    throw refused(field, `${field}: must be at most ${maxLength} characters, none of them control characters.`);
  }
  return text;
}

/** A time to come, or none. @throws AppError `invalid_request` */
export function checkedExpiry(expiresAtMs: number | undefined, nowMs: number): number | undefined {
  if (expiresAtMs === undefined || expiresAtMs > nowMs) return expiresAtMs;
  throw refused("expires_at_ms", "expires_at_ms: must be a time to come.");
}

export function refused(param: string, message: string): AppError {
  return new AppError("invalid_request", message, { param });
}
