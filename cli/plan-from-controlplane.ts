/** The source of a plan at a control plane: what it gives to the node. */
import { planInput } from "@weft/nodeagent/plan/plan-input.ts";
import { addressFromBytes, prefixFromBytes } from "@weft/proto/address.ts";
import type { PlanValues } from "./commands.ts";
import { FleetClient } from "./fleet-client.ts";
import { plannedNode, type PlanSource } from "./plan-source.ts";
import { readState } from "./state.ts";

/** @throws ProgramError if the control plane cannot be asked or does not know the node. */
export async function planFromControlplane(values: PlanValues, signal: AbortSignal): Promise<PlanSource> {
  using client = FleetClient.connect(values, signal);
  const { services, backends, names, nodeView, ...state } = await readState(client, values.node);
  const addresses = (state.addresses?.addresses ?? []).map(addressFromBytes);
  const { nodePortAddresses, localAddresses, servesLocalClusterIps } = state.addresses ?? noAddresses;
  return {
    input: planInput(services, backends),
    node: plannedNode(values, nodeView?.zone ?? "", addresses, {
      nodePortAddresses: nodePortAddresses.map(addressFromBytes),
      localAddresses: new Set(localAddresses.map(addressFromBytes)),
      localClusterIps: servesLocalClusterIps ? "serve" : "pass",
    }),
    serviceCidrs: (nodeView?.serviceCidrs ?? []).map(({ address, length }) => prefixFromBytes(address, length)),
    names,
    refusals: [],
  };
}

const noAddresses = { nodePortAddresses: [], localAddresses: [], servesLocalClusterIps: false };
