import { AppError, type ErrorCode } from "../errors.ts";
import type { Denial } from "./principal.ts";

/** Why a key of the API does not open the door, or does no more, as its owner is told. */
const REFUSALS: Readonly<Record<Denial, readonly [code: ErrorCode, message: string]>> = {
  "wrong-kind": ["invalid_api_key", "This is a worker key. The API takes keys that begin with sk-."],
  revoked: ["invalid_api_key", "This API key was revoked."],
  rotated: ["invalid_api_key", "This API key was rotated: its new secret took the place of this one."],
  disabled: ["invalid_api_key", "This API key is disabled."],
  expired: ["invalid_api_key", "This API key has expired."],
  "owner-disabled": ["account_deactivated", "The account that this API key belongs to is disabled."],
  "no-membership": ["not_a_member", "The owner of this API key may not use its group, or the group is gone."],
  exhausted: ["insufficient_quota", "This API key has used up its spending limit."],
  "address-not-allowed": ["ip_not_authorized", "This API key may not be used from your address."],
};

/** @param headers Those that its status asks for, besides. */
export function keyRefusal(denial: Denial, headers?: Readonly<Record<string, string>>): AppError {
  const [code, message] = REFUSALS[denial];
  return new AppError(code, message, { headers });
}
