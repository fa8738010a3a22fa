import { temporaryFolder } from "../temporary-folder.ts";
import { auditStoreContract } from "./audit-store.contract.ts";
import { openStore } from "./open-store.ts";
import type { Store } from "./store.ts";

auditStoreContract("sqlite", openTemporary);

async function openTemporary(): Promise<Store> {
  const folder = temporaryFolder();
  const store = await openStore(`sqlite:${folder.file("hub.db")}`);
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}
