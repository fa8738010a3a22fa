import { randomBytes } from "node:crypto";

/**
 * 256 random bits as 43 characters of base64url, for what a browser or a mail carries: sign-in cookies and links. Kept as
 * `hashOfSecret` like a key.
 */
export function newOpaqueSecret(): string {
  return randomBytes(32).toString("base64url");
}
