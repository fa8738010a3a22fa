import { randomBytes } from "node:crypto";

import { hashOfSecret } from "./key-secret.ts";

/** Crockford's base32: no I, L, O and U, so that a code can be read out and typed. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** 5 bits each: 80 bits, which nobody guesses however often they may try. */
const CODE_LENGTH = 16;

/** Longer texts are no codes, however much of them is blanks. */
const MAX_TYPED_LENGTH = 64;

/** Of a code, in lists: 20 of 80 bits. */
const SHOWN_LENGTH = 4;

/** A code to hand on, such as `7H2K-9QXM-0B3C-V8TZ`. Kept as {@link inviteHashOf} alone. */
export function newInviteCode(): string {
  return newTypedCode(CODE_LENGTH);
}

/** What lists show of a code. */
export function shownCode(code: string): string {
  return code.slice(0, SHOWN_LENGTH);
}

/** What is kept of a code, or of what somebody typed for it; undefined: it is no code. */
export function inviteHashOf(typed: string): string | undefined {
  return typedHashOf(typed, CODE_LENGTH);
}

/** Random characters that people can type, in groups of four. `length`: a multiple of 4; 5 bits each. */
export function newTypedCode(length: number): string {
  // 256 is a multiple of 32: each character is as likely as any other.
  const characters = Array.from(randomBytes(length), (byte) => ALPHABET.charAt(byte % ALPHABET.length));
  return characters.join("").replaceAll(/.{4}(?=.)/g, "$&-");
}

/**
 * SHA-256 of a code in its one form, base64url: case, blanks and hyphens do not count, and what looks alike is alike.
 * undefined: `typed` is not `length` characters of the alphabet.
 */
export function typedHashOf(typed: string, length: number): string | undefined {
  if (typed.length > MAX_TYPED_LENGTH) return undefined;
  const bare = typed.replaceAll(/[\s-]/g, "");
  // Before the case is changed: some letters of other scripts become one of ours by it.
  if (bare.length !== length || !/^[0-9A-Za-z]+$/.test(bare)) return undefined;
  const code = bare.toUpperCase().replaceAll("O", "0").replaceAll(/[IL]/g, "1");
  return code.includes("U") ? undefined : hashOfSecret(code);
}
