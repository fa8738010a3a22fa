import { hash, randomBytes } from "node:crypto";

import type { KeyKind } from "../store/access-schema.ts";

const PREFIXES = { api: "sk-", worker: "wk-" } as const satisfies Record<KeyKind, string>;

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** 62^43 > 2^256: as hard to guess as the hash it is kept as. No character needs quoting in a shell or a URL. */
const SECRET_LENGTH = 43;

/** Of the random part, in lists: 36 of 256 bits. */
const SHOWN_LENGTH = 6;

/** A new secret: `sk-` or `wk-` and 43 random characters of A-Z, a-z, 0-9. */
export function newKeySecret(kind: KeyKind): string {
  let secret: string = PREFIXES[kind];
  const length = secret.length + SECRET_LENGTH;
  while (secret.length < length) {
    for (const byte of randomBytes(64)) {
      // 248 = 4 × 62: without the cut the first eight characters would come a little more often.
      if (byte < 248 && secret.length < length) secret += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return secret;
}

/** What lists show of a secret, such as `sk-4fQz9B`. */
export function shownPrefix(secret: string): string {
  return secret.slice(0, "sk-".length + SHOWN_LENGTH);
}

/**
 * What is kept of a secret: SHA-256, base64url. No salt and no slow hash: the secret is random, so there is nothing to
 * guess, and each request pays for this (0.3 µs).
 */
export function hashOfSecret(secret: string): string {
  return hash("sha256", secret, "base64url");
}
