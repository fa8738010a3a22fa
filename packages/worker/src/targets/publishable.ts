import { LIMITS } from "../limits.ts";

/** What no hub takes (docs/protocol.md): one such name would have the whole registration refused. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]|^\s|\s$|^$/u;

/** Whether a hub takes the name of a model: short enough, and people see all of it. */
export function isPublishable(name: string): boolean {
  return Buffer.byteLength(name) <= LIMITS.maxPublishedNameBytes && !UNSEEN.test(name);
}
