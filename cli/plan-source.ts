/** What a plan is made from, wherever it comes from. */
import { nodePortAddresses } from "@weft/nodeagent/plan/node-port-addresses.ts";
import { planNode, type PlanInput, type PlanNode, type PlanNodeOptions } from "@weft/nodeagent/plan/plan-input.ts";
import type { PlanNotice } from "@weft/nodeagent/plan/plan-service.ts";
import type { Address, Prefix } from "@weft/proto/address.ts";
import type { PlanValues } from "./commands.ts";

export interface PlanSource {
  readonly input: PlanInput;
  readonly node: PlanNode;
  readonly serviceCidrs: readonly Prefix[];
  /** Of nodes and zones, by their ids. */
  readonly names: ReadonlyMap<bigint, string>;
  /** What was left out, one line each. */
  readonly refusals: readonly string[];
}

export type SourceValues = Pick<PlanValues, "node" | "nodeportAddresses" | "localClusterIps">;

/** @param reported what the node's agent says of itself; the flags win */
export function plannedNode(
  values: SourceValues,
  zone: string,
  addresses: readonly Address[],
  reported: PlanNodeOptions = {},
): PlanNode {
  const { nodeportAddresses, localClusterIps } = values;
  const chosen =
    nodeportAddresses.length > 0 ? { nodePortAddresses: nodePortAddresses(addresses, nodeportAddresses) } : {};
  const served = localClusterIps === undefined ? {} : { localClusterIps };
  return planNode(values.node, zone, addresses, { ...reported, ...chosen, ...served });
}

/** What no dataplane of ours can serve is planned all the same (S33): only conflicts are refusals. */
export function conflictsOf(notices: readonly PlanNotice[]): readonly string[] {
  return notices.filter(({ category }) => category === "conflict").map(({ reason }) => reason);
}
