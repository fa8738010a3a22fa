import { test } from "node:test";

import { temporaryFolder } from "../temporary-folder.ts";
import { accessStoreContract } from "./access-store.contract.ts";
import { openStore } from "./open-store.ts";
import type { Store } from "./store.ts";
import { openTemporaryPostgres, SKIPPED_WITHOUT_POSTGRES, TEST_POSTGRES_URL } from "./test-postgres.ts";

accessStoreContract("sqlite", openTemporarySqlite);
if (TEST_POSTGRES_URL === undefined) {
  test("what changed is read the same on PostgreSQL", SKIPPED_WITHOUT_POSTGRES, () => {});
} else {
  accessStoreContract("postgres", openTemporaryPostgres);
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
