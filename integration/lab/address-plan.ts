/**
 * Addresses inside a lab. Labs never meet, so all of them use the same ones.
 *
 * ```
 * fabric    192.168.77.0/24   fd00:77::/64     control plane .2, node i .(10+i)
 * pods      10.244.i.0/24     fd00:244:i::/64  gateway .1, k-th pod of node i .(10+k)
 * services  10.96.0.0/16      fd00:96::/112    on no device and in no route
 * ```
 */
import type { Address } from "@weft/proto/address.ts";

/** One address per family. */
export interface AddressPair {
  readonly v4: Address;
  readonly v6: Address;
}

export const nodesMax = 32;
export const podsPerNodeMax = 80;

export const serviceCidrs = ["10.96.0.0/16", "fd00:96::/112"] as const;

/** All nodes and all pods. */
export const labPrefixes = ["192.168.77.0/24", "fd00:77::/64", "10.244.0.0/16", "fd00:244::/32"] as const;

export const controlAddresses = pair("192.168.77.2", "fd00:77::2");

/** `node`: from 1. */
export function nodeAddresses(node: number): AddressPair {
  return pair(`192.168.77.${10 + node}`, `fd00:77::${10 + node}`);
}

export function gatewayAddresses(node: number): AddressPair {
  return pair(`10.244.${node}.1`, `fd00:244:${node}::1`);
}

export function podPrefixes(node: number): { readonly v4: string; readonly v6: string } {
  return { v4: `10.244.${node}.0/24`, v6: `fd00:244:${node}::/64` };
}

/** `slot`: from 1. The IPv6 address shows the same digits: .11 is ::11. */
export function podAddresses(node: number, slot: number): AddressPair {
  return pair(`10.244.${node}.${10 + slot}`, `fd00:244:${node}::${10 + slot}`);
}

/** `host`: from 1 to 99. */
export function serviceAddresses(host: number): AddressPair {
  return pair(`10.96.0.${host}`, `fd00:96::${host}`);
}

function pair(v4: string, v6: string): AddressPair {
  return { v4: v4 as Address, v6: v6 as Address };
}
