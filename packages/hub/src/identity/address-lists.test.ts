import assert from "node:assert/strict";
import { test } from "node:test";

import { AddressLists } from "./address-lists.ts";

test("an address is in a list as itself or within a network, in any way to write it", () => {
  const lists = new AddressLists();
  const list = ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "::1"];

  const inside = ["192.0.2.7", "::ffff:192.0.2.7", "10.255.0.1", "::ffff:10.1.2.3", "2001:DB8:1::2", "0:0:0:0:0:0:0:1"];
  const outside = ["192.0.2.8", "11.0.0.1", "::ffff:11.0.0.1", "2001:db9::1", "::2", "", "localhost", "10.0.0.1/8"];

  assert.deepEqual(
    inside.filter((address) => !lists.includes(list, address)),
    [],
  );
  assert.deepEqual(
    outside.filter((address) => lists.includes(list, address)),
    [],
  );
});

test("everybody is in the networks of length 0 of their family, nobody in an empty list", () => {
  const lists = new AddressLists();

  assert.equal(lists.includes(["0.0.0.0/0"], "203.0.113.1"), true);
  assert.equal(lists.includes(["::/0"], "2001:db8::1"), true);
  assert.equal(lists.includes([], "203.0.113.1"), false);
});
