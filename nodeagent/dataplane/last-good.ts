/** What a quarantined service keeps (DESIGN 6.2): its last good state, less the backends that left since. Pure. */
import { familyOf } from "@weft/proto/address.ts";
import { frontendKey, type Frontend } from "../plan/frontend.ts";
import { Targets, type Target } from "../plan/targets.ts";
import type { ServicePlan } from "./dataplane.ts";

/** Targets as text. */
type TargetSet = ReadonlySet<string>;

/**
 * Never a part of `wanted`, and never more frontends or targets than `held` (a list that several frontends share counts once):
 * nothing is needed to stage it.
 * @param isTaken frontends, by `frontendKey`, that another service holds from now on
 */
export function keepLastGood(held: ServicePlan, wanted: ServicePlan, isTaken: (key: string) => boolean): ServicePlan {
  const wantedByKey = new Map(wanted.frontends.map((frontend) => [frontendKey(frontend), frontend]));
  const sharing = new Map<Targets, Frontend[]>();
  for (const frontend of held.frontends) {
    if (isTaken(frontendKey(frontend))) continue;
    const sharers = sharing.get(frontend.targets) ?? [];
    sharing.set(frontend.targets, sharers);
    sharers.push(frontend);
  }
  const frontends: Frontend[] = [];
  for (const [targets, sharers] of sharing) {
    const eligible = sharers.map((frontend) => eligibleFor(frontend, wantedByKey, wanted));
    const kept = narrow(targets, eligible);
    for (const [i, frontend] of sharers.entries()) {
      const left = kept[i] ?? Targets.none;
      if (left === targets) frontends.push(frontend);
      else {
        const action = left.length > 0 ? "forward" : refusal(wantedByKey.get(frontendKey(frontend)));
        frontends.push({ ...frontend, targets: left, action });
      }
    }
  }
  return { service: held.service, frontends, rejectAddresses: held.rejectAddresses, passAddresses: held.passAddresses };
}

// A frontend that the service no longer asks for keeps what its service port may still choose anywhere.
function eligibleFor(frontend: Frontend, wantedByKey: ReadonlyMap<string, Frontend>, wanted: ServicePlan): TargetSet {
  const now = wantedByKey.get(frontendKey(frontend));
  if (now !== undefined) return new Set(now.targets.map(printTarget));
  const family = familyOf(frontend.address);
  const others = wanted.frontends.filter(
    (other) => other.servicePort === frontend.servicePort && familyOf(other.address) === family,
  );
  return new Set(others.flatMap((other) => other.targets.map(printTarget)));
}

/**
 * What is left of one list for each set: `targets` itself if nothing left, one list for equal results. Different results may add
 * up to more than there was; then all that keep any keep what is eligible for each of them.
 */
function narrow(targets: Targets, eligible: readonly TargetSet[]): readonly Targets[] {
  const list = [...targets];
  const lists = new Map<string, Targets>();
  const keep = (isKept: (target: Target) => boolean): Targets => {
    const left = list.filter(isKept);
    const same = left.length === targets.length ? targets : Targets.of(left);
    const first = lists.get(`${same.length} ${same.packed}`) ?? same;
    lists.set(`${same.length} ${same.packed}`, first);
    return first;
  };
  const kept = eligible.map((set) => keep((target) => set.has(printTarget(target))));
  const size = [...lists.values()].reduce((sum, { length }) => sum + length, 0);
  if (size <= targets.length) return kept;
  const sets = eligible.filter((_, i) => (kept[i] ?? Targets.none).length > 0);
  const common = keep((target) => sets.every((set) => set.has(printTarget(target))));
  return kept.map((of) => (of.length > 0 ? common : of));
}

function refusal(wanted: Frontend | undefined): "drop" | "reject" {
  return wanted?.action === "drop" ? "drop" : "reject";
}

function printTarget({ address, port }: Target): string {
  return `${address} ${port}`;
}
