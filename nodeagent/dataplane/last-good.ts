/** What a quarantined service keeps (DESIGN 6.2): its last good state, less the backends that left since. Pure. */
import { familyOf } from "@weft/proto/address.ts";
import { frontendKey, type Frontend, type Target } from "../plan/frontend.ts";
import type { ServicePlan } from "./dataplane.ts";

/**
 * Never a part of `wanted`, and never more than `held`: nothing is needed to stage it.
 * @param isTaken frontends, by `frontendKey`, that another service holds from now on
 */
export function keepLastGood(held: ServicePlan, wanted: ServicePlan, isTaken: (key: string) => boolean): ServicePlan {
  const wantedByKey = new Map(wanted.frontends.map((frontend) => [frontendKey(frontend), frontend]));
  // Frontends that shared their targets still do.
  const narrowed = new Map<readonly Target[], Map<readonly Target[], readonly Target[]>>();
  const frontends: Frontend[] = [];
  for (const frontend of held.frontends) {
    const key = frontendKey(frontend);
    if (isTaken(key)) continue;
    const now = wantedByKey.get(key);
    const eligible = now?.targets ?? eligibleFor(frontend, wanted);
    const byEligible = narrowed.get(frontend.targets) ?? new Map<readonly Target[], readonly Target[]>();
    const targets = byEligible.get(eligible) ?? narrow(frontend.targets, eligible);
    narrowed.set(frontend.targets, byEligible.set(eligible, targets));
    if (targets === frontend.targets) frontends.push(frontend);
    else frontends.push({ ...frontend, targets, action: targets.length > 0 ? "forward" : refusal(now) });
  }
  return { service: held.service, frontends, rejectAddresses: held.rejectAddresses };
}

// A frontend that the service no longer asks for keeps what its service port may still choose anywhere.
function eligibleFor(frontend: Frontend, wanted: ServicePlan): readonly Target[] {
  const family = familyOf(frontend.address);
  return wanted.frontends
    .filter((other) => other.servicePort === frontend.servicePort && familyOf(other.address) === family)
    .flatMap((other) => other.targets);
}

function narrow(targets: readonly Target[], eligible: readonly Target[]): readonly Target[] {
  if (targets === eligible) return targets;
  const allowed = new Set(eligible.map(({ address, port }) => `${address} ${port}`));
  const kept = targets.filter(({ address, port }) => allowed.has(`${address} ${port}`));
  return kept.length === targets.length ? targets : kept;
}

function refusal(wanted: Frontend | undefined): "drop" | "reject" {
  return wanted?.action === "drop" ? "drop" : "reject";
}
