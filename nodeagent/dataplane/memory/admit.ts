/** Which plans fit into bounded room, and what the others keep. Pure. */
import { compareText } from "@weft/proto/address.ts";
import { frontendKey } from "../../plan/frontend.ts";
import type { Targets } from "../../plan/targets.ts";
import type { DataplaneFailure, ServicePlan } from "../dataplane.ts";
import { keepLastGood } from "../last-good.ts";

/** Numbers of elements. A list of targets that several frontends share counts once. */
export interface Sizes {
  readonly frontends: number;
  readonly backends: number;
  readonly services: number;
}

export const sizeNames = ["frontends", "backends", "services"] as const;

export interface Admission {
  /** What each service of the round holds from the activation on. */
  readonly held: ReadonlyMap<string, ServicePlan>;
  /** Plans that do not fit, by service. */
  readonly refused: ReadonlyMap<string, ServicePlan>;
  /** One for each refused plan, ordered by service. */
  readonly failures: readonly DataplaneFailure[];
  readonly used: Sizes;
}

/**
 * What fits together is admitted together, whatever would not fit for a moment in between.
 * @param plans one a service
 * @param heldBefore what the service holds now; an empty plan if nothing
 */
export function admit(
  plans: Iterable<ServicePlan>,
  heldBefore: (service: string) => ServicePlan,
  usedBefore: Sizes,
  max: Sizes,
): Admission {
  const all = [...plans];
  const usedByAll = all.reduce((used, plan) => exchange(used, heldBefore(plan.service), plan), usedBefore);
  if (sizeNames.every((name) => usedByAll[name] <= max[name])) {
    const held = new Map(all.map((plan) => [plan.service, plan]));
    return { held, refused: new Map(), failures: [], used: usedByAll };
  }
  const admitted = new Map<string, ServicePlan>();
  const kept = new Map<string, ServicePlan>();
  const failures = new Map<string, DataplaneFailure>();
  const heldBy = (service: string): ServicePlan => kept.get(service) ?? heldBefore(service);
  let used = usedBefore;
  let waiting = smallestGrowthFirst(all, heldBefore);
  for (let hasRoomChanged = true; hasRoomChanged && waiting.length > 0;) {
    hasRoomChanged = false;
    const refused: ServicePlan[] = [];
    for (const plan of waiting) {
      const after = exchange(used, heldBy(plan.service), plan);
      const full = sizeNames.filter((name) => after[name] > max[name]);
      if (full.length > 0) {
        failures.set(plan.service, capacityFailure(plan.service, full, after, max));
        refused.push(plan);
        continue;
      }
      used = after;
      admitted.set(plan.service, plan);
      kept.delete(plan.service);
      failures.delete(plan.service);
      hasRoomChanged = true;
    }
    const taken = refused.length > 0 ? keysOf(admitted.values()) : new Set<string>();
    for (const plan of refused) {
      const before = heldBy(plan.service);
      const after = keepLastGood(before, plan, (key) => taken.has(key));
      const usedAfter = exchange(used, before, after);
      if (sizeNames.some((name) => usedAfter[name] < used[name])) hasRoomChanged = true;
      used = usedAfter;
      kept.set(plan.service, after);
    }
    waiting = refused;
  }
  return {
    held: new Map([...admitted, ...kept]),
    refused: new Map(waiting.map((plan) => [plan.service, plan])),
    failures: [...failures.values()].toSorted((a, b) => compareText(a.service, b.service)),
    used,
  };
}

export function isEmptyPlan(plan: ServicePlan): boolean {
  return plan.frontends.length + plan.rejectAddresses.length + plan.passAddresses.length === 0;
}

function sizesOf(plan: ServicePlan): Sizes {
  return { frontends: plan.frontends.length, backends: backendsOf(plan), services: isEmptyPlan(plan) ? 0 : 1 };
}

function backendsOf({ frontends }: ServicePlan): number {
  const first = frontends[0]?.targets;
  // Nearly always one list: a set of it would be most of the time of a large round.
  if (first === undefined || frontends.every(({ targets }) => targets === first)) return first?.length ?? 0;
  let backends = 0;
  for (const { length } of new Set<Targets>(frontends.map(({ targets }) => targets))) backends += length;
  return backends;
}

function exchange(used: Sizes, before: ServicePlan, after: ServicePlan): Sizes {
  const minus = sizesOf(before);
  const plus = sizesOf(after);
  return {
    frontends: used.frontends - minus.frontends + plus.frontends,
    backends: used.backends - minus.backends + plus.backends,
    services: used.services - minus.services + plus.services,
  };
}

// What shrinks makes room for what grows; the order of arrival decides between equals.
function smallestGrowthFirst(plans: ServicePlan[], heldBefore: (service: string) => ServicePlan): ServicePlan[] {
  const growths = new Map(
    plans.map((plan) => [plan, backendsOf(plan) - backendsOf(heldBefore(plan.service))] as const),
  );
  return plans.toSorted((a, b) => (growths.get(a) ?? 0) - (growths.get(b) ?? 0));
}

function capacityFailure(service: string, full: readonly (keyof Sizes)[], after: Sizes, max: Sizes): DataplaneFailure {
  const what = full.map((name) => `${after[name]} ${name} would be held and ${max[name]} fit`).join(", ");
  const remedy = full.map((name) => `--${name}-max`).join(" and ");
  const reason = `service ${service} does not fit: ${what}; it keeps its last good state; raise ${remedy} of the agent`;
  return { service, category: "capacity", reason };
}

function keysOf(plans: Iterable<ServicePlan>): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const { frontends } of plans) for (const frontend of frontends) keys.add(frontendKey(frontend));
  return keys;
}
