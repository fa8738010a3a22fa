import { AppError } from "../errors.ts";
import { COMMON_PASSWORDS } from "./common-passwords.ts";

/** Characters, as people count them. The shorter ones are guessed, the longer ones only cost (NIST SP 800-63B §3.1.1.2). */
export const PASSWORD_LENGTH = { min: 8, max: 256 } as const;

/** NFKC at most triples a text in practice (18 times in theory); what is longer than this is not even normalised. */
const MAX_GIVEN_LENGTH = 4 * PASSWORD_LENGTH.max;

/**
 * A password as it is hashed: Unicode NFKC, because keyboards write the same letter in several ways (NIST SP 800-63B §3.1.1.2).
 * undefined: it cannot be anybody's.
 */
export function normalisePassword(given: string): string | undefined {
  if (given.length > MAX_GIVEN_LENGTH || !given.isWellFormed()) return undefined;
  const password = given.normalize("NFKC");
  const length = lengthOf(password);
  return length >= PASSWORD_LENGTH.min && length <= PASSWORD_LENGTH.max ? password : undefined;
}

/**
 * The same for a password that somebody chooses. Length is what counts; no rules of composition, but nothing that is tried first.
 *
 * @param email Normalised: a password that is the address, or its part before the @, is refused.
 * @throws AppError `invalid_request` with `param`.
 */
export function checkNewPassword(given: string, email: string, param = "password"): string {
  const password = normalisePassword(given);
  if (password === undefined) {
    const { min, max } = PASSWORD_LENGTH;
    throw new AppError("invalid_request", `"${param}" must have ${min} to ${max} characters.`, { param });
  }
  const folded = password.toLowerCase();
  if (folded === email || folded === email.slice(0, email.lastIndexOf("@"))) {
    throw new AppError("invalid_request", `"${param}" must not be the e-mail address.`, { param });
  }
  if (COMMON_PASSWORDS.has(folded) || isRepetition(folded)) {
    throw new AppError(
      "invalid_request",
      `"${param}" is one of the passwords that are tried first. Choose another one.`,
      {
        param,
      },
    );
  }
  return password;
}

/** In characters as people count them, not UTF-16 units. */
function lengthOf(text: string): number {
  return Array.from(text).length;
}

/** `aaaaaaaa`, `abababab`, `123123123`. */
function isRepetition(text: string): boolean {
  return /^(.{1,3})\1+$/su.test(text);
}
