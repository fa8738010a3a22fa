import type { IncomingMessage } from "node:http";
import { BlockList, isIP, type Socket } from "node:net";

import type { TrustedProxies } from "../config.ts";
import { networkOf } from "../network.ts";

/** Where a request comes from. */
export interface ClientAddress {
  /** In its shortest form, IPv4 in IPv6 as IPv4. "" when the connection is gone already. */
  readonly ip: string;
  /** What limits count by: the address, or the /64 of an IPv6 one, which any customer has to himself. */
  readonly network: string;
}

/** Longer chains are not followed: there are no such chains of one's own proxies. */
const MAX_HOPS = 16;

/**
 * Who asks: the one place that decides it. Limits, allow-lists and logs all take the address from here.
 *
 * The socket's own address, unless that is a trusted proxy. Then the right-most address of the proxies' header that is no
 * trusted proxy: everything to the left of it was written by a stranger.
 */
export class ClientAddresses {
  readonly #trusted: BlockList | undefined;
  readonly #header: TrustedProxies["header"];

  constructor({ networks, header }: TrustedProxies) {
    this.#trusted = networks.length === 0 ? undefined : blockListOf(networks);
    this.#header = header;
  }

  of(request: IncomingMessage): ClientAddress {
    const ip = this.#ipOf(request);
    return { ip, network: networkOf(ip) };
  }

  /** Of the socket itself, a proxy's when there is one between: before a request nothing else is known. */
  ofSocket(socket: Socket): ClientAddress {
    const ip = parseAddress(socket.remoteAddress ?? "") ?? "";
    return { ip, network: networkOf(ip) };
  }

  #ipOf(request: IncomingMessage): string {
    let ip = parseAddress(request.socket.remoteAddress ?? "") ?? "";
    if (this.#trusted === undefined) return ip;
    const value = request.headers[this.#header];
    const hops = (typeof value === "string" ? value : "").split(",").slice(-MAX_HOPS);
    while (this.#isTrusted(ip)) {
      // What names no address, such as "unknown", says nothing: the proxy that wrote it is all that is known.
      const before = this.#addressIn(hops.pop() ?? "");
      if (before === undefined) return ip;
      ip = before;
    }
    return ip;
  }

  #isTrusted(ip: string): boolean {
    return ip !== "" && this.#trusted?.check(ip, ip.includes(":") ? "ipv6" : "ipv4") === true;
  }

  /** @param hop What stands between two commas: a quoted address has none. */
  #addressIn(hop: string): string | undefined {
    if (this.#header === "x-forwarded-for") return parseAddress(hop.trim());
    const [, quoted, bare] = FORWARDED_FOR.exec(hop) ?? [];
    return parseAddress((quoted ?? bare ?? "").trim());
  }
}

/** RFC 7239 §4: `for=192.0.2.60;proto=http`, `For="[2001:db8::1]:4711"`. */
const FORWARDED_FOR = /(?:^|;)\s*for=(?:"([^"]*)"|([^;"]*))\s*(?:;|$)/i;

function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    const isV4 = isIP(address) === 4;
    list.addSubnet(address, Number(bits ?? (isV4 ? 32 : 128)), isV4 ? "ipv4" : "ipv6");
  }
  return list;
}

/** An address as proxies write it, perhaps with brackets or a port; undefined when it is none. */
function parseAddress(text: string): string | undefined {
  const withPort = /^\[([^\]]*)\](?::\d+)?$/.exec(text) ?? /^([\d.]+):\d+$/.exec(text);
  const [address = ""] = (withPort?.[1] ?? text).split("%", 1);
  const family = isIP(address);
  if (family === 0) return undefined;
  return family === 4 ? address : shortened(address);
}

const MAPPED = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/;

/** An IPv6 address in the one form that RFC 5952 gives it; one that holds an IPv4 address as that. */
function shortened(address: string): string {
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [, high, low] = MAPPED.exec(text) ?? [];
  if (high === undefined || low === undefined) return text;
  const bits = parseInt(high, 16) * 0x1_0000 + parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join(".");
}
