/** Addresses of the node from its interfaces, for agents without --node-addresses. */
import { networkInterfaces } from "node:os";
import { familyOf, parseAddress } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import { ipvsDevice } from "./local-addresses.ts";

type Interfaces = ReturnType<typeof networkInterfaces>;

/** In the order of the interfaces, IPv4 first, without loopback and link-local ones and those of kube-ipvs0, without repeats. */
export function interfaceAddresses(interfaces: Interfaces = networkInterfaces()): readonly Address[] {
  const found: Address[] = [];
  const devices = Object.entries(interfaces).filter(([device]) => device !== ipvsDevice);
  for (const entry of devices.flatMap(([, entries]) => entries ?? [])) {
    const address = entry.internal ? undefined : parseAddress(entry.address);
    if (address !== undefined && !isLinkLocal(address) && !found.includes(address)) found.push(address);
  }
  return found.toSorted((a, b) => familyOf(a) - familyOf(b));
}

function isLinkLocal(address: Address): boolean {
  return address.startsWith("169.254.") || /^fe[89ab]/.test(address);
}
