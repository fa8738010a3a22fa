import { isIP } from "node:net";

/** Whether this is an address, or a CIDR block such as `192.0.2.0/24`. */
export function isNetwork(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const family = isIP(address);
  if (family === 0 || address.includes("%") || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/**
 * What limits count by: an IPv4 address, or the /64 of an IPv6 one, which any customer has to himself.
 *
 * @param ip In the form of RFC 5952.
 */
export function networkOf(ip: string): string {
  if (!ip.includes(":")) return ip;
  const [left = "", right] = ip.split("::");
  const groups = left === "" ? [] : left.split(":");
  const behind = right === undefined || right === "" ? [] : right.split(":");
  while (groups.length + behind.length < 8) groups.push("0");
  return `${[...groups, ...behind].slice(0, 4).join(":")}::/64`;
}
