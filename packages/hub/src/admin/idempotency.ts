import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";

import type { Kysely } from "kysely";
import * as z from "zod";

import { AppError } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import { beginAnswer, forgetAnswer, type IdempotentRequest, keepAnswer } from "../store/idempotency-store.ts";
import type { Schema } from "../store/schema.ts";
import { StoreError } from "../store/store-error.ts";

/** An answer as it is kept and given again. */
export interface KeptAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export interface IdempotencyDeps {
  readonly db: Kysely<Schema>;
  readonly log: Log;
  readonly now: () => number;
}

/** One create that carried the header. */
export interface KeyedCreate {
  readonly key: string;
  readonly actorId: string;
  readonly method: string;
  /** With its query. */
  readonly url: string;
  readonly body: Uint8Array;
}

const MAX_KEY_LENGTH = 255;
/** A key that somebody could guess would not keep a database's reader from the answers. */
const MIN_KEY_LENGTH = 16;

/** @throws AppError `invalid_request` */
export function readIdempotencyKey(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === "string" && header.length >= MIN_KEY_LENGTH && header.length <= MAX_KEY_LENGTH) return header;
  throw new AppError(
    "invalid_request",
    `Idempotency-Key must have ${MIN_KEY_LENGTH} to ${MAX_KEY_LENGTH} characters. A UUID is a good one.`,
    { param: "Idempotency-Key" },
  );
}

/**
 * Does a create once, or not at all: the same request with the same key gets the answer of the first. Only what succeeded is kept,
 * so a failure may be tried again; not so where nobody knows whether it was one.
 *
 * @throws AppError what `act` throws; `conflict` while the first one runs, and when its process died before it was answered, or lost
 * the database;
 * `idempotency_key_reused` for another request.
 */
export async function answerOnce(
  deps: IdempotencyDeps,
  create: KeyedCreate,
  act: () => Promise<KeptAnswer>,
): Promise<KeptAnswer> {
  const request = requestOf(create);
  const beginning = await beginAnswer(deps.db, request, deps.now());
  switch (beginning.outcome) {
    case "answered": {
      const kept = decrypted(create, request.id, beginning.answer);
      return { ...kept, headers: { ...kept.headers, "idempotency-replayed": "true" } };
    }
    case "running":
      throw new AppError("conflict", "A request with this Idempotency-Key is being answered.", { retryAfter: 1 });
    case "unknown":
      throw new AppError(
        "conflict",
        "The hub stopped, or lost its database, while it did this, and nobody knows whether it was done. Look, and try again with another Idempotency-Key.",
      );
    case "another-request":
      throw new AppError("idempotency_key_reused");
    case "begun":
      break;
  }
  const answer = await act().catch(async (thrown: unknown) => {
    if (thrown instanceof StoreError && thrown.code === "outcome-unknown") throw thrown;
    await forgetAnswer(deps.db, request.id).catch((error: unknown) => {
      // The caller is to hear why it failed, and may try again with another key.
      deps.log.error({ error }, "an Idempotency-Key could not be given back");
    });
    throw thrown;
  });
  await keepAnswer(deps.db, request.id, encrypted(create, request.id, answer)).catch((error: unknown) => {
    // It was done, and its secret is shown only now: the caller gets it.
    deps.log.error({ error }, "an answer could not be kept for its Idempotency-Key");
  });
  return answer;
}

function requestOf({ key, actorId, method, url, body }: KeyedCreate): IdempotentRequest {
  const id = createHash("sha256").update(`${actorId}\n${key}`).digest("base64url");
  const requestHash = createHash("sha256").update(`${method} ${url}\n`).update(body).digest("base64url");
  return { id, actorId, requestHash };
}

/** Only who has the Idempotency-Key can make it, so that a secret in an answer cannot be read from the database. */
function keyOf({ key, actorId }: KeyedCreate): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", key, "", `tokilake idempotent answer of ${actorId}`, 32));
}

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** AES-256-GCM: nonce, tag, text. The id is authenticated with it, so that answers cannot be swapped. */
function encrypted(create: KeyedCreate, id: string, answer: KeptAnswer): string {
  const nonce = randomBytes(IV_BYTES);
  const cipher = createCipheriv("aes-256-gcm", keyOf(create), nonce).setAAD(Buffer.from(id));
  const text = Buffer.concat([cipher.update(JSON.stringify(answer), "utf8"), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString("base64url");
}

const KEPT = z.object({
  status: z.int(),
  headers: z.record(z.string(), z.string()),
  body: z.string().optional(),
});

function decrypted(create: KeyedCreate, id: string, kept: string): KeptAnswer {
  const bytes = Buffer.from(kept, "base64url");
  const nonce = bytes.subarray(0, IV_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", keyOf(create), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(id)).setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  const text = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
  const { status, headers, body } = KEPT.parse(JSON.parse(text.toString("utf8")));
  return { status, headers, body };
}
