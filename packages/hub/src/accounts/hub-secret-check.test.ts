import assert from "node:assert/strict";
import { test } from "node:test";

import { isKnownHubSecret } from "./hub-secret-check.ts";
import { HubSecret } from "./hub-secret.ts";
import { testAccounts } from "./test-accounts.ts";

test("a hub with another key than the database was used with is noticed", async () => {
  await using accounts = await testAccounts();
  const other = { ...accounts.deps, secret: new HubSecret(Buffer.alloc(32, 1)) };

  assert.equal(await isKnownHubSecret(accounts.deps), true);
  assert.equal(await isKnownHubSecret(other), false);
  assert.equal(await isKnownHubSecret(accounts.deps), true);
});
