/** What is not as it should be once all faults have ended. */
import { printCursor } from "@weft/proto/cursor.ts";
import { planNode } from "@weft/nodeagent/plan/plan-input.ts";
import { planOnce } from "@weft/nodeagent/plan/plan-node.ts";
import { planLines } from "@weft/nodeagent/plan/plan-line.ts";
import type { SimulatedControlPlane } from "./control-plane.ts";
import type { SimulatedNode } from "./node.ts";

/** Undefined: nothing. `services`: names of those that there are. */
export function differenceOf(
  controlPlane: SimulatedControlPlane | undefined,
  services: readonly string[],
  nodes: readonly SimulatedNode[],
): string | undefined {
  if (controlPlane === undefined || !controlPlane.isFollowing) return "there is no control plane";
  const { cursor, root, fleet } = controlPlane;
  const head = printCursor(cursor);
  const isServed =
    services.length === controlPlane.services.size && services.every((name) => controlPlane.services.has(name));
  if (!isServed)
    return `the head ${head} serves ${controlPlane.services.size} services, and not the ${services.length} that there are`;
  for (const node of nodes) {
    const { name, kernel, store, standing } = node;
    const live = kernel.cursor === undefined ? "nothing" : printCursor(kernel.cursor);
    if (live !== head) return `${name} (${standing}) runs ${live}, not ${head}`;
    if (store?.digest !== root) return `${name} holds something else than the head ${head}`;
    const missing = fleet.whyMissing(name, cursor.revision, Date.now());
    if (missing !== undefined) return `the fleet does not know that ${name} runs ${head}: ${missing}`;
    const wrong = wrongPlan(node);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

// What the kernel holds, against a plan made from nothing of what the agent holds.
function wrongPlan({ name, kernel, store }: SimulatedNode): string | undefined {
  if (store === undefined) return undefined;
  const zones = new Set(["", "a", "b"]);
  const live = planLines(Array.from(kernel.held.values(), ({ frontends }) => frontends).flat()).join("\n");
  // The zone is the control plane's to say: one of the few must fit.
  for (const zone of zones) {
    const { plans } = planOnce(store, planNode(name, zone, []));
    if (planLines(plans.flatMap(({ frontends }) => frontends)).join("\n") === live) return undefined;
  }
  return `the kernel of ${name} holds something else than the plan`;
}
