/** The source of a plan at a control plane: what it gives to the node. */
import { planInput, planNode } from "@weft/nodeagent/plan/plan-input.ts";
import { addressFromBytes } from "@weft/proto/address.ts";
import type { PlanValues } from "./commands.ts";
import { FleetClient } from "./fleet-client.ts";
import { readState } from "./state.ts";
import type { PlanSource } from "./plan.ts";

/** @throws ProgramError if the control plane cannot be asked or does not know the node. */
export async function planFromControlplane(values: PlanValues, signal: AbortSignal): Promise<PlanSource> {
  using client = FleetClient.connect(values, signal);
  const state = await readState(client, values.node);
  const addresses = state.addresses?.addresses ?? [];
  const nodePortAddresses = state.addresses?.nodePortAddresses ?? addresses;
  return {
    input: planInput(state.services, state.backends),
    node: planNode(values.node, state.nodeView?.zone ?? "", addresses.map(addressFromBytes), {
      nodePortAddresses: nodePortAddresses.map(addressFromBytes),
    }),
    refusals: [],
  };
}
