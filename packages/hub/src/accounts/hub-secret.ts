import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ConfigError } from "../config.ts";

/** What the hub's key is used for. Each use has a key of its own, so that what was made for one is nothing to another. */
export type SecretUse = "totp" | "attempt" | "device" | "check";

const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** The hub's own key: what the database must keep readable is encrypted with it, and what browsers keep is sealed or signed. */
export class HubSecret {
  readonly #keys: Readonly<Record<SecretUse, Buffer>>;

  /** @param key 32 bytes. */
  constructor(key: Buffer) {
    if (key.length !== KEY_BYTES) throw new RangeError(`The hub's key must have ${KEY_BYTES} bytes.`);
    const keyFor = (use: SecretUse): Buffer => Buffer.from(hkdfSync("sha256", key, "", `tokilake ${use}`, KEY_BYTES));
    this.#keys = {
      totp: keyFor("totp"),
      attempt: keyFor("attempt"),
      device: keyFor("device"),
      check: keyFor("check"),
    };
  }

  /** Encrypts with AES-256-GCM: base64url of nonce, ciphertext and tag. @param context What it is bound to, such as a user's id. */
  seal(use: SecretUse, context: string, text: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#keys[use], iv).setAAD(Buffer.from(context));
    return Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]).toString("base64url");
  }

  /** What was sealed; undefined when it was not, or with another key, for another use, or in another context. */
  open(use: SecretUse, context: string, sealed: string): string | undefined {
    const bytes = Buffer.from(sealed, "base64url");
    if (bytes.length < IV_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", this.#keys[use], bytes.subarray(0, IV_BYTES))
      .setAAD(Buffer.from(context))
      .setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const text = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
      return Buffer.concat([text, decipher.final()]).toString("utf8");
    } catch {
      // The tag does not fit: somebody else made it.
      return undefined;
    }
  }

  /** HMAC-SHA256, base64url. */
  sign(use: SecretUse, text: string): string {
    return createHmac("sha256", this.#keys[use]).update(text).digest("base64url");
  }

  isSignature(use: SecretUse, text: string, signature: string): boolean {
    const expected = Buffer.from(this.sign(use, text));
    const given = Buffer.from(signature);
    return expected.length === given.length && timingSafeEqual(expected, given);
  }
}

/** The key as settings and the file write it: 43 characters of base64url, or 64 hex digits. undefined: neither. */
export function parseSecretKey(text: string): Buffer | undefined {
  if (/^[\da-f]{64}$/i.test(text)) return Buffer.from(text, "hex");
  return /^[\w-]{43}=?$/.test(text) ? Buffer.from(text, "base64url") : undefined;
}

/**
 * The key of the settings, else that of `secret.key` in the data folder, which is made when it is missing (mode 0600).
 *
 * @throws ConfigError when what is there is no key.
 */
export function loadHubSecret(dataDir: string, configured: string | undefined): HubSecret {
  if (configured !== undefined) return new HubSecret(keyOf(configured, "TOKILAKE_SECRET_KEY"));
  const path = join(dataDir, "secret.key");
  const text = readIfThere(path) ?? makeKeyFile(dataDir, path);
  return new HubSecret(keyOf(text.trim(), path));
}

function keyOf(text: string, where: string): Buffer {
  const key = parseSecretKey(text);
  if (key === undefined) throw new ConfigError(`${where} holds no key: 64 hex digits or 43 characters of base64url.`);
  return key;
}

/** Two processes that start together end with the same key: the link is made by one of them only, and complete. */
function makeKeyFile(dataDir: string, path: string): string {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.${randomBytes(6).toString("hex")}`;
  writeFileSync(draft, `${randomBytes(KEY_BYTES).toString("base64url")}\n`, { mode: 0o600, flag: "wx", flush: true });
  try {
    linkSync(draft, path);
  } catch (thrown) {
    if (!isCode(thrown, "EEXIST")) throw thrown;
  } finally {
    rmSync(draft);
  }
  return readFileSync(path, "utf8");
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    if (isCode(thrown, "ENOENT")) return undefined;
    throw thrown;
  }
}

function isCode(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === code;
}
