import { randomBytes } from "node:crypto";

import type { HubSecret } from "./hub-secret.ts";

/** A year; each sign-in starts it anew. */
export const DEVICE_TOKEN_MS = 365 * 24 * 3600 * 1000;

/**
 * What a browser keeps after a sign-in, so that strangers who guess cannot use up its owner's tries (OWASP, "device cookies"). It
 * opens nothing by itself: `deviceId.signature`, bound to the user.
 *
 * @param known The device's id from before; undefined: a new device.
 */
export function newDeviceToken(secret: HubSecret, userId: string, known: string | undefined): string {
  const deviceId = known ?? randomBytes(16).toString("base64url");
  return `${deviceId}.${secret.sign("device", `${userId} ${deviceId}`)}`;
}

/** The device's id, when that user signed in on it before. */
export function readDeviceToken(secret: HubSecret, token: string | undefined, userId: string): string | undefined {
  const [, deviceId, signature] = /^([\w-]{22})\.([\w-]{43})$/.exec(token ?? "") ?? [];
  if (deviceId === undefined || signature === undefined) return undefined;
  return secret.isSignature("device", `${userId} ${deviceId}`, signature) ? deviceId : undefined;
}
