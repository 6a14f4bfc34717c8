/** Addresses of devices as the kernel prints them in /proc/net. Pure. */
import { parseAddress, type Address } from "@weft/proto/address.ts";

/** IPv4 addresses of all devices, from the text of /proc/net/fib_trie. Which device has one is not said there. */
export function fibTrieAddresses(text: string): ReadonlySet<Address> {
  const found = new Set<Address>();
  for (const [, printed = ""] of text.matchAll(/\|-- ([\d.]+)\n\s+\/32 host LOCAL$/gm)) {
    const address = parseAddress(printed);
    if (address !== undefined) found.add(address);
  }
  return found;
}

/** IPv6 addresses and their devices, from the text of /proc/net/if_inet6. */
export function ifInet6Addresses(text: string): readonly { readonly address: Address; readonly device: string }[] {
  return text.split("\n").flatMap((line) => {
    const [hex = "", , , , , device] = line.trim().split(/\s+/);
    if (!/^[\da-f]{32}$/.test(hex) || device === undefined) return [];
    const address = parseAddress((hex.match(/.{4}/g) ?? []).join(":"));
    return address === undefined ? [] : [{ address, device }];
  });
}
