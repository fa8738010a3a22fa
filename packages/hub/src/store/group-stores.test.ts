import { test } from "node:test";

import { temporaryFolder } from "../temporary-folder.ts";
import { deviceJoinStoreContract } from "./device-join-store.contract.ts";
import { groupStoreContract } from "./group-store.contract.ts";
import { inviteStoreContract } from "./invite-store.contract.ts";
import { membershipStoreContract } from "./membership-store.contract.ts";
import { modelClaimStoreContract } from "./model-claim-store.contract.ts";
import { openStore } from "./open-store.ts";
import { providerRequestStoreContract } from "./provider-request-store.contract.ts";
import type { Store } from "./store.ts";
import { openTemporaryPostgres, SKIPPED_WITHOUT_POSTGRES, TEST_POSTGRES_URL } from "./test-postgres.ts";

const CONTRACTS = [
  groupStoreContract,
  membershipStoreContract,
  inviteStoreContract,
  modelClaimStoreContract,
  providerRequestStoreContract,
  deviceJoinStoreContract,
];

for (const contract of CONTRACTS) contract("sqlite", openTemporarySqlite);
if (TEST_POSTGRES_URL === undefined) {
  test("groups, members and invites are the same on PostgreSQL", SKIPPED_WITHOUT_POSTGRES, () => {});
} else {
  for (const contract of CONTRACTS) contract("postgres", openTemporaryPostgres);
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
