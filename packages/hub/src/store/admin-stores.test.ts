import { test } from "node:test";

import { temporaryFolder } from "../temporary-folder.ts";
import { auditStoreContract } from "./audit-store.contract.ts";
import { idempotencyStoreContract } from "./idempotency-store.contract.ts";
import { openStore } from "./open-store.ts";
import type { Store } from "./store.ts";
import { openTemporaryPostgres, SKIPPED_WITHOUT_POSTGRES, TEST_POSTGRES_URL } from "./test-postgres.ts";

auditStoreContract("sqlite", openTemporarySqlite);
idempotencyStoreContract("sqlite", openTemporarySqlite);
if (TEST_POSTGRES_URL === undefined) {
  test("the audit log and kept answers are the same on PostgreSQL", SKIPPED_WITHOUT_POSTGRES, () => {});
} else {
  auditStoreContract("postgres", openTemporaryPostgres);
  idempotencyStoreContract("postgres", openTemporaryPostgres);
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
