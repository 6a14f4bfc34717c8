/** What a node's addresses are, and what the agent's flags make of them. */
import type { Address } from "@weft/proto/address.ts";
import { nodePortAddresses, type NodePortSelector } from "./node-port-addresses.ts";
import type { LocalClusterIps, PlanNode } from "./plan-input.ts";

export type NodeAddressing = Pick<PlanNode, "addresses" | "nodePortAddresses" | "localAddresses" | "localClusterIps">;

/** The flags --nodeport-addresses and --local-cluster-ips. */
export interface AddressingFlags {
  readonly nodeportAddresses: readonly NodePortSelector[];
  /** Undefined: pass. */
  readonly localClusterIps: LocalClusterIps | undefined;
}

export function nodeAddressing(
  addresses: readonly Address[],
  localAddresses: ReadonlySet<Address>,
  { nodeportAddresses, localClusterIps }: AddressingFlags,
): NodeAddressing {
  return {
    addresses,
    nodePortAddresses: nodePortAddresses(addresses, nodeportAddresses),
    localAddresses,
    localClusterIps: localClusterIps ?? "pass",
  };
}

export function isSameAddressing(a: NodeAddressing, b: NodeAddressing): boolean {
  return (
    a.addresses.join() === b.addresses.join() &&
    a.nodePortAddresses.join() === b.nodePortAddresses.join() &&
    a.localAddresses.size === b.localAddresses.size &&
    [...a.localAddresses].every((address) => b.localAddresses.has(address)) &&
    a.localClusterIps === b.localClusterIps
  );
}
