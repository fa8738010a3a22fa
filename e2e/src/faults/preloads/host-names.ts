// Loaded into a program before its own code: names are looked up in the JSON file FAULT_HOSTS, anew each time, as
// {"name": ["address", …]}. A name that is not there does not exist.
import dns from "node:dns";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";

type Answer = (error: NodeJS.ErrnoException | null, addresses?: dns.LookupAddress[] | string, family?: number) => void;

function lookup(name: string, options: dns.LookupOptions, answer: Answer): void {
  const hosts = JSON.parse(readFileSync(process.env["FAULT_HOSTS"] ?? "", "utf8")) as Record<string, string[]>;
  const found = isIP(name) > 0 ? [name] : (hosts[name] ?? []);
  const addresses = found.map((address) => ({ address, family: isIP(address) }));
  const [first] = addresses;
  process.nextTick(() => {
    if (first === undefined) answer(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: "ENOTFOUND" }));
    else if (options.all === true) answer(null, addresses);
    else answer(null, first.address, first.family);
  });
}

Object.assign(dns, { lookup });
