import type { Kysely } from "kysely";

import { AppError } from "../errors.ts";
import { hashOfSecret } from "../identity/key-secret.ts";
import { newOpaqueSecret } from "../identity/opaque-secret.ts";
import { newId } from "../new-id.ts";
import { type LinkPurpose, type LinkRecord, insertLink, openLink, useLink } from "../store/one-time-link-store.ts";
import type { Schema } from "../store/schema.ts";
import type { AccountsDeps } from "./accounts.ts";

const HOUR_MS = 3600 * 1000;

const KINDS: Readonly<Record<LinkPurpose, { readonly path: string; readonly lastsMs: number }>> = {
  "set-up": { path: "/set-up", lastsMs: HOUR_MS },
  "verify-email": { path: "/verify-email", lastsMs: 24 * HOUR_MS },
  "reset-password": { path: "/reset-password", lastsMs: HOUR_MS },
};

/** Makes a link that works once. Its secret is in the address that is returned, and kept nowhere. */
export async function makeLink(
  { publicUrl, now }: Pick<AccountsDeps, "publicUrl" | "now">,
  db: Kysely<Schema>,
  wanted: { readonly purpose: LinkPurpose; readonly userId?: string; readonly email?: string },
): Promise<string> {
  const { path, lastsMs } = KINDS[wanted.purpose];
  const nowMs = now();
  const secret = newOpaqueSecret();
  await insertLink(db, {
    id: newId("link", nowMs),
    purpose: wanted.purpose,
    userId: wanted.userId,
    email: wanted.email,
    hash: hashOfSecret(secret),
    createdAtMs: nowMs,
    expiresAtMs: nowMs + lastsMs,
  });
  return publicUrl.of(path, secret);
}

/** What a link's secret stands for, to look at before something expensive. @throws AppError `invalid_request` */
export async function lookAtLink(
  db: Kysely<Schema>,
  link: { readonly secret: string; readonly purpose: LinkPurpose },
  nowMs: number,
): Promise<LinkRecord> {
  return good(await openLink(db, { hash: hashOfSecret(link.secret), purpose: link.purpose }, nowMs));
}

/** Uses the link up. @throws AppError `invalid_request` */
export async function takeLink(
  db: Kysely<Schema>,
  link: { readonly secret: string; readonly purpose: LinkPurpose },
  nowMs: number,
): Promise<LinkRecord> {
  return good(await useLink(db, { hash: hashOfSecret(link.secret), purpose: link.purpose }, nowMs));
}

function good(record: LinkRecord | undefined): LinkRecord {
  if (record !== undefined) return record;
  throw new AppError("invalid_request", "This link was used already, ran out, or is none. Ask for a new one.", {
    param: "token",
  });
}
