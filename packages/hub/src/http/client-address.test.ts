import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";

import type { TrustedProxies } from "../config.ts";
import { ClientAddresses } from "./client-address.ts";

interface Asked {
  readonly from: string;
  readonly trusted?: readonly string[];
  readonly by?: TrustedProxies["header"];
  readonly headers?: Readonly<Record<string, string>>;
}

function addressOf({ from, trusted = [], by = "x-forwarded-for", headers = {} }: Asked) {
  // Only these members are read.
  const request = { socket: { remoteAddress: from }, headers } as unknown as IncomingMessage;
  return new ClientAddresses({ networks: trusted, header: by }).of(request);
}

test("without trusted proxies the socket's address counts, whatever the headers say", () => {
  const headers = { "x-forwarded-for": "1.1.1.1", forwarded: "for=1.1.1.1" };

  assert.equal(addressOf({ from: "203.0.113.9", headers }).ip, "203.0.113.9");
  assert.equal(addressOf({ from: "203.0.113.9", trusted: ["10.0.0.0/8"], headers }).ip, "203.0.113.9");
});

test("IPv4 is one address however it comes, IPv6 counts by its /64", () => {
  for (const [from, ip, network] of [
    ["192.0.2.7", "192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"],
    ["2001:DB8:0:1::5", "2001:db8:0:1::5", "2001:db8:0:1::/64"],
    ["2001:db8::1:0:0:5", "2001:db8::1:0:0:5", "2001:db8:0:0::/64"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["fe80::1%eth0", "fe80::1", "fe80:0:0:0::/64"],
    ["::1", "::1", "0:0:0:0::/64"],
    ["", "", ""],
  ] as const) {
    assert.deepEqual(addressOf({ from }), { ip, network });
  }
});

test("behind trusted proxies the right-most address that is none of them counts: the rest a client may invent", () => {
  const trusted = ["10.0.0.0/8", "2001:db8:ff::/48"];
  for (const [header, ip] of [
    ["198.51.100.1", "198.51.100.1"],
    ["1.1.1.1, 198.51.100.1", "198.51.100.1"],
    ["198.51.100.1, 10.0.0.2,10.0.0.3", "198.51.100.1"],
    ["10.9.9.9, 198.51.100.1", "198.51.100.1"],
    ["198.51.100.1:4711", "198.51.100.1"],
    ["[2001:db8::7]:4711", "2001:db8::7"],
    ["198.51.100.1, 2001:db8:ff::2", "198.51.100.1"],
    ["198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1"],
    ["198.51.100.1, unknown", "10.0.0.1"],
    ["198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"],
    ["", "10.0.0.1"],
    ["10.0.0.2", "10.0.0.2"],
    ["1.2.3.4, 999.1.1.1", "10.0.0.1"],
    [`${"10.0.0.2,".repeat(5_000)}10.0.0.3`, "10.0.0.2"],
  ] as const) {
    assert.equal(addressOf({ from: "10.0.0.1", trusted, headers: { "x-forwarded-for": header } }).ip, ip, header);
  }
});

test("the header that the proxies do not write is not read", () => {
  const trusted = ["10.0.0.1"];
  const headers = { "x-forwarded-for": "1.1.1.1", forwarded: 'for=2.2.2.2;proto=https, For="[2001:db8::7]:80";by=x' };

  assert.equal(addressOf({ from: "10.0.0.1", trusted, headers }).ip, "1.1.1.1");
  assert.equal(addressOf({ from: "10.0.0.1", trusted, headers, by: "forwarded" }).ip, "2001:db8::7");
  for (const [forwarded, ip] of [
    ["for=198.51.100.1", "198.51.100.1"],
    ["proto=https ; for=198.51.100.1", "198.51.100.1"],
    ['for="evil, for=198.51.100.1', "198.51.100.1"],
    ["for=_hidden", "10.0.0.1"],
    ["by=198.51.100.1", "10.0.0.1"],
  ] as const) {
    assert.equal(addressOf({ from: "10.0.0.1", trusted, headers: { forwarded }, by: "forwarded" }).ip, ip, forwarded);
  }
});
