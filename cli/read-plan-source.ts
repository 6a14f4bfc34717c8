/** The source of a plan: a folder of manifests or a control plane. What the other one needs is not loaded. */
import type { PlanValues } from "./commands.ts";
import type { PlanSource } from "./plan-source.ts";

/** @throws ProgramError naming the folder, the control plane or the node that is missing (S7). */
export async function readPlanSource(values: PlanValues, signal: AbortSignal): Promise<PlanSource> {
  if (values.manifests !== undefined)
    return (await import("./plan-from-manifests.ts")).planFromManifests(values.manifests, values);
  return (await import("./plan-from-controlplane.ts")).planFromControlplane(values, signal);
}
