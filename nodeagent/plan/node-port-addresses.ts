/** On which addresses of a node NodePorts are served: the flag --nodeport-addresses (S8). */
import {
  addressFromBytes,
  familyOf,
  parsePrefix,
  prefixContains,
  type Address,
  type Prefix,
} from "@weft/proto/address.ts";
import type { Parsed } from "@weft/proto/program/flags.ts";

/** One value of the flag. */
export type NodePortSelector =
  /** The first address of each family. */
  | "primary"
  /** 127.0.0.1, in the internal scope, beside what the others select. */
  | "loopback"
  /** Addresses of the node within the range. */
  | Prefix;

/**
 * As kube-proxy does, ranges of one family narrow that family only: none of a family (and no "primary") selects all addresses
 * of it.
 * @param addresses of the node, the primary one of each family first
 */
export function nodePortAddresses(
  addresses: readonly Address[],
  selectors: readonly NodePortSelector[],
): readonly Address[] {
  const isPrimary = selectors.includes("primary");
  const ranges = selectors.filter((selector) => typeof selector !== "string");
  const selected = addresses.filter((address) => {
    const family = familyOf(address);
    const ofFamily = ranges.filter((range) => familyOf(range.address) === family);
    if (!isPrimary && ofFamily.length === 0) return true;
    const isFirst = addresses.find((other) => familyOf(other) === family) === address;
    return (isPrimary && isFirst) || ofFamily.some((range) => prefixContains(range, address));
  });
  return selectors.includes("loopback") && !selected.includes(loopback) ? [...selected, loopback] : selected;
}

export function parseNodePortSelector(given: string): Parsed<NodePortSelector> {
  const text = given.trim();
  if (text === "primary" || text === "loopback") return { ok: true, value: text };
  const prefix = parsePrefix(text);
  return prefix === undefined
    ? { ok: false, problem: "give primary, loopback, or a range such as 10.0.0.0/8" }
    : { ok: true, value: prefix };
}

const loopback = addressFromBytes(Uint8Array.of(127, 0, 0, 1));
