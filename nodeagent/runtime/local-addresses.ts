/**
 * Addresses assigned to devices in this network namespace (S32). NodeLocal DNSCache leaves its device down, and Node lists devices that
 * are up only: the kernel's tables say more. kube-proxy in IPVS mode puts every ClusterIP on kube-ipvs0, which does not count.
 */
import { existsSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { parseAddress, type Address } from "@weft/proto/address.ts";
import { fibTrieAddresses, ifInet6Addresses } from "./proc-addresses.ts";

export const ipvsDevice = "kube-ipvs0";

/** Without those of loopback, in no order. */
export function localAddresses(): ReadonlySet<Address> {
  const six = ifInet6Addresses(read("/proc/net/if_inet6")).filter(({ device }) => device !== ipvsDevice);
  // fib_trie does not name devices; beside kube-ipvs0 a ClusterIP on a device of its own is not used.
  const isIpvs = existsSync(`/sys/class/net/${ipvsDevice}`);
  const four = isIpvs ? [] : fibTrieAddresses(read("/proc/net/fib_trie"));
  const found = new Set([...six.map(({ address }) => address), ...four, ...upAddresses()]);
  for (const address of found) if (address.startsWith("127.") || address === "::1") found.delete(address);
  return found;
}

function upAddresses(): readonly Address[] {
  return Object.entries(networkInterfaces())
    .filter(([device]) => device !== ipvsDevice)
    .flatMap(([, entries]) => entries ?? [])
    .flatMap(({ address }) => parseAddress(address) ?? []);
}

// A kernel without IPv6 has no if_inet6.
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
