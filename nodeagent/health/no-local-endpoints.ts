/**
 * How many service ports have a Local policy and endpoints, but none on this node, by family and policy: those whose frontends drop
 * (S19). Kept up to date by the plans of touched services. Pure.
 */
import { familyOf } from "@weft/proto/address.ts";
import type { Family } from "@weft/proto/address.ts";
import type { ServicePlan } from "../dataplane/dataplane.ts";

export type TrafficPolicy = "internal" | "external";

/** "family policy". */
type Place = `${Family} ${TrafficPolicy}`;

export class NoLocalEndpoints {
  // Services without any are not held.
  readonly #byService = new Map<string, ReadonlyMap<Place, number>>();
  readonly #totals = new Map<Place, number>();

  count(family: Family, policy: TrafficPolicy): number {
    return this.#totals.get(`${family} ${policy}`) ?? 0;
  }

  /** Replaces what is known of the services of these plans. */
  update(plans: Iterable<ServicePlan>): void {
    for (const plan of plans) {
      this.#add(this.#byService.get(plan.service), -1);
      const counts = countsOf(plan);
      this.#add(counts, 1);
      if (counts === undefined) this.#byService.delete(plan.service);
      else this.#byService.set(plan.service, counts);
    }
  }

  #add(counts: ReadonlyMap<Place, number> | undefined, sign: 1 | -1): void {
    for (const [place, count] of counts ?? []) this.#totals.set(place, (this.#totals.get(place) ?? 0) + sign * count);
  }
}

function countsOf(plan: ServicePlan): ReadonlyMap<Place, number> | undefined {
  // A service port counts once, on however many frontends it drops.
  const ports = new Map<Place, Set<string>>();
  for (const { address, kind, action, servicePort } of plan.frontends) {
    if (action !== "drop") continue;
    const place: Place = `${familyOf(address)} ${kind === "ClusterIP" ? "internal" : "external"}`;
    const found = ports.get(place);
    if (found === undefined) ports.set(place, new Set([servicePort]));
    else found.add(servicePort);
  }
  if (ports.size === 0) return undefined;
  return new Map(Array.from(ports, ([place, names]) => [place, names.size]));
}
