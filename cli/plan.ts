/** `weft plan`: the plan of one node, from a folder or from a control plane. */
import { planLines } from "@weft/nodeagent/plan/plan-line.ts";
import { planOnce } from "@weft/nodeagent/plan/plan-node.ts";
import { exitCodes, type ExitCode } from "@weft/proto/program/exit.ts";
import { writeLines } from "@weft/proto/program/stdout.ts";
import type { PlanValues } from "./commands.ts";
import { note } from "./output.ts";
import { conflictsOf } from "./plan-source.ts";
import { readPlanSource } from "./read-plan-source.ts";

export async function runPlan(values: PlanValues, signal: AbortSignal): Promise<ExitCode> {
  const { input, node, refusals } = await readPlanSource(values, signal);
  const { plans, notices } = planOnce(input, node);
  await writeLines(planLines(plans.flatMap(({ frontends }) => frontends)));
  const refused = [...refusals, ...conflictsOf(notices)];
  for (const refusal of refused) note(refusal);
  return refused.length === 0 ? exitCodes.ok : exitCodes.usage;
}
