import { test } from "node:test";

import { temporaryFolder } from "../temporary-folder.ts";
import { credentialStoresContract } from "./credential-stores.contract.ts";
import { openStore } from "./open-store.ts";
import { signInStoreContract } from "./sign-in-store.contract.ts";
import type { Store } from "./store.ts";
import { openTemporaryPostgres, SKIPPED_WITHOUT_POSTGRES, TEST_POSTGRES_URL } from "./test-postgres.ts";
import { userStoreContract } from "./user-store.contract.ts";

for (const contract of [userStoreContract, signInStoreContract, credentialStoresContract]) {
  contract("sqlite", openTemporarySqlite);
  if (TEST_POSTGRES_URL !== undefined) contract("postgres", openTemporaryPostgres);
}
if (TEST_POSTGRES_URL === undefined) {
  test("users and what they sign in with are kept the same on PostgreSQL", SKIPPED_WITHOUT_POSTGRES, () => {});
}

async function openTemporarySqlite(): Promise<Store> {
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
