/** Who may use a load-balancer IP (S15). */
import {
  addressFromBytes,
  familyOf,
  prefixContains,
  prefixFromBytes,
  type Family,
  type Prefix,
} from "@weft/proto/address.ts";
import type { Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { PlanNode } from "./plan-input.ts";

/** Allowed sources of one family, without repeats; undefined: all. */
export function sourceRanges(service: Service, family: Family, node: PlanNode): readonly Prefix[] | undefined {
  const bytes = family === 4 ? 4 : 16;
  const ranges = service.loadBalancerSourceRanges
    .filter(({ address }) => address.length === bytes)
    .map(({ address, length }) => prefixFromBytes(address, length));
  if (ranges.length === 0 || ranges.some(({ length }) => length === 0)) return undefined;
  const primary = node.addresses.find((address) => familyOf(address) === family);
  const isNodeAllowed = primary !== undefined && ranges.some((range) => prefixContains(range, primary));
  if (!isNodeAllowed) return ranges;
  // A balancer may put its address on the node: what the node sends to it then has that address as its source.
  const own = service.loadBalancerIps
    .filter(({ length }) => length === bytes)
    .map((address): Prefix => ({ address: addressFromBytes(address), length: bytes * 8 }));
  const isListed = (of: Prefix): boolean =>
    ranges.some((range) => range.address === of.address && range.length === of.length);
  return [...ranges, ...own.filter((prefix) => !isListed(prefix))];
}
