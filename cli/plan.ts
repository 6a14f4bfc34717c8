/** `weft plan`: the plan of one node, from a folder or from a control plane. */
import type { PlanInput, PlanNode } from "@weft/nodeagent/plan/plan-input.ts";
import { planLines } from "@weft/nodeagent/plan/plan-line.ts";
import { planOnce } from "@weft/nodeagent/plan/plan-node.ts";
import { exitCodes, type ExitCode } from "@weft/proto/program/exit.ts";
import type { PlanValues } from "./commands.ts";
import { note, writeLines } from "./output.ts";

/** Everything that a plan is made from. */
export interface PlanSource {
  readonly input: PlanInput;
  readonly node: PlanNode;
  /** What was left out, one line each. */
  readonly refusals: readonly string[];
}

export async function runPlan(values: PlanValues, signal: AbortSignal): Promise<ExitCode> {
  const { input, node, refusals } = await readSource(values, signal);
  const { plans, notices } = planOnce(input, node);
  await writeLines(planLines(plans.flatMap(({ frontends }) => frontends)));
  // What no dataplane of ours can serve is planned all the same (S33): only conflicts are refusals.
  const conflicts = notices.filter(({ category }) => category === "conflict").map(({ reason }) => reason);
  const refused = [...refusals, ...conflicts];
  for (const refusal of refused) note(refusal);
  return refused.length === 0 ? exitCodes.ok : exitCodes.usage;
}

async function readSource(values: PlanValues, signal: AbortSignal): Promise<PlanSource> {
  if (values.manifests !== undefined)
    return (await import("./plan-from-manifests.ts")).planFromManifests(values.manifests, values.node);
  return (await import("./plan-from-controlplane.ts")).planFromControlplane(values, signal);
}
