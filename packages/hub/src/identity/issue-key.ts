import { newId } from "../new-id.ts";
import type { KeyKind, KeyStore, NewKey } from "../store/key-store.ts";
import { hashOfSecret, newKeySecret, shownPrefix } from "./key-secret.ts";

/** Makes a key and keeps its hash. The secret is returned here and can never be read again. */
export async function issueKey(
  store: Pick<KeyStore, "insert">,
  wanted: { readonly kind: KeyKind; readonly name: string; readonly nowMs: number },
): Promise<{ readonly secret: string; readonly key: NewKey }> {
  const secret = newKeySecret(wanted.kind);
  const key: NewKey = {
    id: newId("key", wanted.nowMs),
    kind: wanted.kind,
    name: wanted.name,
    prefix: shownPrefix(secret),
    hash: hashOfSecret(secret),
    createdAtMs: wanted.nowMs,
  };
  await store.insert(key);
  return { secret, key };
}
