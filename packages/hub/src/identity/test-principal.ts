import { OPERATOR_GROUP_ID } from "../store/access-schema.ts";
import type { Principal } from "./principal.ts";

/** For tests: the operator's own API key, unless `more` says otherwise. */
export function testPrincipal(keyId: string, more: Partial<Principal> = {}): Principal {
  return {
    keyId,
    kind: "api",
    name: keyId,
    userId: undefined,
    groupIds: [OPERATOR_GROUP_ID],
    limits: undefined,
    isRotatedAway: false,
    pins: undefined,
    memberOf: () => undefined,
    allowsModel: () => true,
    ...more,
  };
}
