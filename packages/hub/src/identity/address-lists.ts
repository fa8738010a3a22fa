import { BlockList, isIP } from "node:net";

/** Checks of addresses against lists of addresses and networks. Keys that share their list share its check. */
export class AddressLists {
  readonly #checks = new WeakMap<readonly string[], BlockList>();

  /** @param list As `KEY_RULES` takes it. An address that is none is in no list. */
  includes(list: readonly string[], address: string): boolean {
    const family = isIP(address);
    if (family === 0) return false;
    const known = this.#checks.get(list);
    const check = known ?? blockListOf(list);
    if (known === undefined) this.#checks.set(list, check);
    // It takes an IPv4 address that is written as IPv6 (::ffff:192.0.2.1) for what it is.
    return check.check(address, family === 4 ? "ipv4" : "ipv6");
  }
}

function blockListOf(list: readonly string[]): BlockList {
  const block = new BlockList();
  for (const each of list) {
    const [start = "", bits] = each.split("/");
    const family = isIP(start) === 4 ? "ipv4" : "ipv6";
    if (bits === undefined) block.addAddress(start, family);
    else block.addSubnet(start, Number(bits), family);
  }
  return block;
}
