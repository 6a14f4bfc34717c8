/**
 * A dataplane without a kernel: for hosts without BPF, for the demo without root, and for tests. Its capacities are real, and a
 * service that does not fit is quarantined by the same rules as in the kernel. It holds and dumps every line of the plan (S2).
 */
import type { Frontend } from "../../plan/frontend.ts";
import type { Adopted, AuditStep, Dataplane, Limit, Round, RoundResult, ServicePlan } from "../dataplane.ts";
import { planDifferences, type PlanDifference } from "../plan-difference.ts";
import { admit, isEmptyPlan, sizeNames, type Sizes } from "./admit.ts";

export type MemoryLimits = Sizes;

export const defaultMemoryLimits: MemoryLimits = { frontends: 262_144, backends: 1_048_576, services: 65_536 };

export class MemoryDataplane implements Dataplane {
  readonly #max: MemoryLimits;
  readonly #held = new Map<string, ServicePlan>();
  /** Plans that did not fit, tried again in every round. */
  #refused: ReadonlyMap<string, ServicePlan> = new Map();
  #used: Sizes = { frontends: 0, backends: 0, services: 0 };

  constructor(max: MemoryLimits = defaultMemoryLimits) {
    this.#max = max;
  }

  open(): Promise<Adopted> {
    return Promise.resolve({ cursor: undefined });
  }

  apply(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    const plans = new Map(this.#refused);
    for (const plan of round.services) plans.set(plan.service, plan);
    return this.#activate(plans, beforeActivate);
  }

  replaceAll(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    const plans = new Map<string, ServicePlan>();
    for (const service of this.#held.keys()) plans.set(service, emptyPlan(service));
    for (const plan of round.services) plans.set(plan.service, plan);
    return this.#activate(plans, beforeActivate);
  }

  dump(): readonly Frontend[] {
    return Array.from(this.#held.values(), ({ frontends }) => frontends).flat();
  }

  limits(): readonly Limit[] {
    return sizeNames.map((name) => ({ name, used: this.#used[name], max: this.#max[name] }));
  }

  /** What it holds is what it was given: nobody else can reach it. */
  audit(): AuditStep {
    return { findings: [], isEnd: true };
  }

  auditSize(): number {
    return 0;
  }

  compare(plan: ServicePlan): readonly PlanDifference[] {
    const { service } = plan;
    return planDifferences(this.#refused.get(service) ?? this.#held.get(service) ?? emptyPlan(service), plan);
  }

  *services(): Generator<string, undefined> {
    yield* this.#held.keys();
    yield* this.#refused.keys();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  // Async so that a throw of `beforeActivate` is a rejection. No await in it: nobody can see half of a round.
  async #activate(plans: ReadonlyMap<string, ServicePlan>, beforeActivate: () => void): Promise<RoundResult> {
    const startMs = performance.now();
    const heldBefore = (service: string): ServicePlan => this.#held.get(service) ?? emptyPlan(service);
    const { held, refused, failures, used } = admit(plans.values(), heldBefore, this.#used, this.#max);
    const stageUs = Math.round((performance.now() - startMs) * 1_000);
    beforeActivate();
    for (const [service, plan] of held) {
      if (isEmptyPlan(plan)) this.#held.delete(service);
      else this.#held.set(service, plan);
    }
    this.#refused = refused;
    this.#used = used;
    return { failures, stageUs };
  }
}

function emptyPlan(service: string): ServicePlan {
  return { service, frontends: [], rejectAddresses: [], passAddresses: [] };
}
