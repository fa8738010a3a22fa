import assert from "node:assert/strict";
import { test } from "node:test";

import { isNetwork, networkOf } from "./network.ts";

test("an IPv4 address counts for itself, an IPv6 address for its /64", () => {
  assert.equal(networkOf("192.0.2.1"), "192.0.2.1");
  assert.equal(networkOf("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  assert.equal(networkOf("2001:db8::6"), "2001:db8:0:0::/64");
  assert.equal(networkOf("::1"), "0:0:0:0::/64");
});

test("addresses and CIDR blocks are networks", () => {
  for (const good of ["192.0.2.1", "192.0.2.0/24", "::1", "2001:db8::/32", "0.0.0.0/0"])
    assert.ok(isNetwork(good), good);
  for (const bad of [
    "",
    "localhost",
    "192.0.2.0/33",
    "::/129",
    "1.2.3.4/-1",
    "1.2.3.4/8/8",
    "fe80::1%eth0",
    "1.2.3.4/1e1",
  ]) {
    assert.ok(!isNetwork(bad), bad);
  }
});
