/**
 * A dataplane that fails on purpose, for tests: services that the kernel or a full map refuses, rounds that cannot be activated,
 * delays. Everything follows from the seed and the order of calls. What it does with a service that fails is what a real
 * dataplane does: last good state, less the backends that left, tried again in every later round.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { compareText } from "@weft/proto/address.ts";
import { frontendKey, type Frontend } from "../../plan/frontend.ts";
import type {
  Adopted,
  AuditStep,
  Dataplane,
  DataplaneFailure,
  Limit,
  Round,
  RoundResult,
  ServicePlan,
} from "../dataplane.ts";
import { keepLastGood } from "../last-good.ts";
import { planDifferences, type PlanDifference } from "../plan-difference.ts";
import { seededRandom } from "./seeded-random.ts";

export interface Faults {
  readonly seed: number;
  /** Share of stagings of a service that fail, 0 to 1. */
  readonly stageFailures: number;
  /** Share of rounds that throw before anything is activated, 0 to 1. */
  readonly roundFailures: number;
  /** Longest delay before a round is staged; 0: none. */
  readonly delayMsMax: number;
}

/** Kernel errors of map operations, and the full map. */
const errnos = ["ENOMEM", "E2BIG", "EBUSY", "ENOSPC"] as const;

export class FaultyDataplane implements Dataplane {
  readonly #inner: Dataplane;
  readonly #random: () => number;
  #faults: Faults;
  /** What the inner dataplane was given last, by service. */
  readonly #given = new Map<string, ServicePlan>();
  /** What failed here, by service, in the order in which it first failed. */
  #wanted: ReadonlyMap<string, ServicePlan> = new Map();

  constructor(inner: Dataplane, faults: Faults) {
    this.#inner = inner;
    this.#faults = faults;
    this.#random = seededRandom(faults.seed);
  }

  /** Ends all faults: what failed is staged by the next round. */
  heal(): void {
    this.#faults = { ...this.#faults, stageFailures: 0, roundFailures: 0, delayMsMax: 0 };
  }

  open(): Promise<Adopted> {
    return this.#inner.open();
  }

  apply(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    const plans = new Map(this.#wanted);
    for (const plan of round.services) plans.set(plan.service, plan);
    return this.#run(plans, (services) => this.#inner.apply({ ...round, services }, beforeActivate));
  }

  replaceAll(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    const plans = new Map(round.services.map((plan) => [plan.service, plan]));
    return this.#run(plans, async (services) => {
      const result = await this.#inner.replaceAll({ ...round, services }, beforeActivate);
      this.#given.clear();
      return result;
    });
  }

  dump(): readonly Frontend[] {
    return this.#inner.dump();
  }

  limits(): readonly Limit[] {
    return this.#inner.limits();
  }

  audit(entriesMax: number): AuditStep {
    return this.#inner.audit(entriesMax);
  }

  auditSize(): number {
    return this.#inner.auditSize();
  }

  compare(plan: ServicePlan): readonly PlanDifference[] {
    const wanted = this.#wanted.get(plan.service);
    return wanted === undefined ? this.#inner.compare(plan) : planDifferences(wanted, plan);
  }

  *services(): Generator<string, undefined> {
    yield* this.#inner.services();
    yield* this.#wanted.keys();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
  }

  async #run(
    plans: ReadonlyMap<string, ServicePlan>,
    inner: (services: readonly ServicePlan[]) => Promise<RoundResult>,
  ): Promise<RoundResult> {
    const { delayMsMax, roundFailures, stageFailures } = this.#faults;
    if (delayMsMax > 0) await sleep(this.#random() * delayMsMax);
    if (this.#random() < roundFailures) throw new Error("no round can be activated: injected EIO; run the round again");
    const failures: DataplaneFailure[] = [];
    const staged: ServicePlan[] = [];
    const wanted = new Map<string, ServicePlan>();
    for (const plan of plans.values()) {
      // A removal needs nothing that could be refused.
      if (plan.frontends.length === 0 || this.#random() >= stageFailures) staged.push(plan);
      else {
        wanted.set(plan.service, plan);
        failures.push(this.#failure(plan.service));
      }
    }
    const taken = new Set(staged.flatMap(({ frontends }) => frontends.map(frontendKey)));
    const kept = Array.from(wanted.values(), (plan) => {
      const given = this.#given.get(plan.service) ?? {
        service: plan.service,
        frontends: [],
        rejectAddresses: [],
        passAddresses: [],
      };
      return keepLastGood(given, plan, (key) => taken.has(key));
    });
    const services = [...staged, ...kept];
    const result = await inner(services);
    // Only now: after a throw the inner dataplane holds what it held.
    this.#wanted = wanted;
    for (const plan of services) this.#given.set(plan.service, plan);
    const others = result.failures.filter(({ service }) => !wanted.has(service));
    return { ...result, failures: [...others, ...failures].toSorted((a, b) => compareText(a.service, b.service)) };
  }

  #failure(service: string): DataplaneFailure {
    const errno = errnos[Math.floor(this.#random() * errnos.length)] ?? "ENOMEM";
    const category = errno === "ENOSPC" ? "capacity" : "kernel";
    return {
      service,
      category,
      reason: `service ${service} is not staged: injected ${errno}; it keeps its last good state`,
    };
  }
}
