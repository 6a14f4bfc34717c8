/**
 * One round at a time over a RevisionWriter: what fits, what is quarantined, when to wait for a grace. Waits only for room,
 * never before an activation that has it; what fell out of use is released behind the caller's back.
 */
import type { Cursor } from "@weft/proto/cursor.ts";
import { frontendKey, type Frontend } from "../../plan/frontend.ts";
import type { DataplaneFailure, Limit, Round, RoundResult, ServicePlan } from "../dataplane.ts";
import { keepLastGood } from "../last-good.ts";
import { planDifferences, type PlanDifference } from "../plan-difference.ts";
import { admit, sizeNames, type Sizes } from "../memory/admit.ts";
import { widestPrefixes } from "./element-key.ts";
import type { KernelMaps } from "./kernel-maps.ts";
import type { KernelLimits } from "./map-sizes.ts";
import type { PreparedService, RevisionWriter } from "./revision-writer.ts";

/** What one activation will make of the plans. Its slots are allocated, none is visible. */
interface Decision {
  readonly prepared: Map<string, PreparedService>;
  readonly refused: Map<string, ServicePlan>;
  readonly failures: Map<string, DataplaneFailure>;
  used: Sizes;
  /** Refused for want of free slots, not of limits: a grace may free some. */
  isShort: boolean;
}

const retriesMax = 3;
const noSizes: Sizes = { frontends: 0, backends: 0, services: 0 };
const unlimited: Sizes = { frontends: Infinity, backends: Infinity, services: Infinity };
const e2big = 7;
const enospc = 28;

export class RoundApplier {
  readonly #maps: KernelMaps;
  readonly #writer: RevisionWriter;
  readonly #max: KernelLimits;
  readonly #errnoName: (errno: number) => string;
  #used: Sizes;
  #refused: ReadonlyMap<string, ServicePlan> = new Map();
  #releasing: Promise<void> | undefined;
  #releaseError: unknown;

  /** The writer has adopted what was live, and a grace is over. */
  constructor(
    maps: KernelMaps,
    writer: RevisionWriter,
    max: KernelLimits,
    errnoName: (errno: number) => string = String,
  ) {
    this.#maps = maps;
    this.#writer = writer;
    this.#max = max;
    this.#errnoName = errnoName;
    const held = Array.from(writer.heldServices(), (service) => writer.held(service));
    this.#used = admit(held, emptyPlan, noSizes, unlimited).used;
  }

  apply(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    const plans = new Map(this.#refused);
    for (const plan of round.services) plans.set(plan.service, servedPart(plan));
    return this.#round(round, plans, false, beforeActivate);
  }

  replaceAll(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    const plans = new Map<string, ServicePlan>();
    for (const service of this.#writer.heldServices()) plans.set(service, emptyPlan(service));
    for (const plan of round.services) plans.set(plan.service, servedPart(plan));
    return this.#round(round, plans, true, beforeActivate);
  }

  limits(): readonly Limit[] {
    return sizeNames.map((name) => ({ name, used: this.#used[name], max: this.#max[name] }));
  }

  /** As of a dataplane. What a quarantined service keeps is not compared: only what waits for room. */
  compare(plan: ServicePlan): readonly PlanDifference[] {
    const served = servedPart(plan);
    const refused = this.#refused.get(plan.service);
    if (refused !== undefined) return planDifferences(refused, served);
    const differences = planDifferences(this.#writer.held(plan.service), served);
    return differences.length > 0 ? differences : this.#writer.compareStates(served);
  }

  *services(): Generator<string, undefined> {
    yield* this.#writer.owners();
    yield* this.#refused.keys();
  }

  /** Resolves when nothing waits for a grace any more. */
  async settled(): Promise<void> {
    this.#releaseSoon();
    await this.#releasing;
    if (this.#releaseError !== undefined) throw new Error("slots could not be freed", { cause: this.#releaseError });
  }

  async #round(
    round: Round,
    plans: ReadonlyMap<string, ServicePlan>,
    isWhole: boolean,
    beforeActivate: () => void,
  ): Promise<RoundResult> {
    const startMs = performance.now();
    const { cursor } = round;
    let decision = this.#decide(plans, cursor.revision);
    if (decision.isShort && (this.#writer.hasRetired || this.#releasing !== undefined)) {
      for (const prepared of decision.prepared.values()) this.#writer.abandon(prepared);
      await this.settled();
      decision = this.#decide(plans, cursor.revision);
    }
    this.#stage(decision, cursor.revision);
    if (isWhole) this.#writer.stageOrphans();
    const cidrFailure = round.serviceCidrs && this.#writer.stageCidrs(widestPrefixes(round.serviceCidrs));
    if (cidrFailure) decision.failures.set("", this.#refusal("", cidrFailure.errno));
    const stageUs = Math.round((performance.now() - startMs) * 1_000);
    this.#activate(decision, cursor, beforeActivate);
    for (let retry = 0; retry < retriesMax && decision.isShort; retry++) {
      // The activation took the old revision's slots out of use: after a grace there may be room for the rest.
      await this.settled();
      const next = this.#decide(decision.refused, cursor.revision);
      if (next.refused.size >= decision.refused.size) {
        for (const prepared of next.prepared.values()) this.#writer.abandon(prepared);
        break;
      }
      this.#stage(next, cursor.revision);
      this.#activate(next, cursor, () => undefined);
      decision = next;
    }
    const failures = [...decision.failures.values()].toSorted((a, b) => (a.service < b.service ? -1 : 1));
    return { failures, stageUs };
  }

  #decide(plans: ReadonlyMap<string, ServicePlan>, revision: number): Decision {
    const writer = this.#writer;
    const admission = admit(plans.values(), (service) => writer.held(service), this.#used, this.#max);
    const decision: Decision = {
      prepared: new Map(),
      refused: new Map(admission.refused),
      failures: new Map(admission.failures.map((failure) => [failure.service, failure])),
      used: admission.used,
      isShort: false,
    };
    for (const [service, plan] of admission.held) {
      const isKept = decision.refused.has(service);
      const prepared = writer.prepare(plan, revision, isKept);
      if (prepared !== undefined) decision.prepared.set(service, prepared);
      else if (isKept) decision.prepared.set(service, writer.prepareRefusal(plan));
      else {
        decision.isShort = true;
        this.#keep(decision, plan, this.#refusal(service, enospc), admission.held, revision);
      }
    }
    return decision;
  }

  // The service keeps its last good state instead of `plan`, less the backends that left; at worst it refuses.
  #keep(
    decision: Decision,
    plan: ServicePlan,
    failure: DataplaneFailure,
    others: ReadonlyMap<string, ServicePlan>,
    revision: number,
  ): void {
    const taken = new Set<string>();
    for (const other of others.values()) {
      if (other.service !== plan.service) for (const frontend of other.frontends) taken.add(frontendKey(frontend));
    }
    const kept = keepLastGood(this.#writer.held(plan.service), plan, (key) => taken.has(key));
    const prepared = this.#writer.prepare(kept, revision, true) ?? this.#writer.prepareRefusal(kept);
    decision.prepared.set(plan.service, prepared);
    decision.refused.set(plan.service, plan);
    decision.failures.set(plan.service, failure);
    decision.used = admit([kept], () => plan, decision.used, unlimited).used;
  }

  // All new elements first, since the kernel may refuse one; then words, which cannot fail.
  #stage(decision: Decision, revision: number): void {
    const plans = new Map(Array.from(decision.prepared, ([service, { plan }]) => [service, plan]));
    for (const [service, prepared] of decision.prepared) {
      const refused = this.#writer.insertNew(prepared);
      if (refused === undefined) continue;
      this.#writer.abandon(prepared);
      if (refused.errno === e2big || refused.errno === enospc) decision.isShort = true;
      this.#keep(decision, prepared.plan, this.#refusal(service, refused.errno), plans, revision);
    }
    for (const prepared of decision.prepared.values()) this.#writer.stage(prepared);
  }

  #activate(decision: Decision, cursor: Cursor, beforeActivate: () => void): void {
    try {
      beforeActivate();
    } catch (error) {
      this.#writer.rollback();
      this.#releaseSoon();
      throw error;
    }
    this.#writer.activate(cursor);
    this.#refused = decision.refused;
    this.#used = decision.used;
    this.#releaseSoon();
  }

  #releaseSoon(): void {
    if (this.#releasing !== undefined || !this.#writer.hasRetired || this.#releaseError !== undefined) return;
    this.#releasing = this.#release();
  }

  // Never rejects: a failed grace is reported by the next one that waits for room.
  async #release(): Promise<void> {
    try {
      while (this.#writer.hasRetired) {
        const retired = this.#writer.collectRetired();
        await this.#maps.grace();
        this.#writer.release(retired);
      }
    } catch (error) {
      this.#releaseError = error;
    } finally {
      this.#releasing = undefined;
    }
  }

  #refusal(service: string, errno: number): DataplaneFailure {
    const where = service === "" ? "the service CIDRs" : `service ${service}`;
    if (errno === e2big || errno === enospc) {
      const reason = `${where}: the maps are full; it keeps its last good state; raise --frontends-max, --backends-max or --services-max of the agent`;
      return { service, category: "capacity", reason };
    }
    const reason = `${where}: the kernel refused an element (${this.#errnoName(errno)}); it keeps its last good state; see the agent's log`;
    return { service, category: "kernel", reason };
  }
}

/** What the socket programs serve. */
export function isServed({ scope, protocol }: Frontend): boolean {
  return scope === "internal" && protocol !== "SCTP";
}

function servedPart(plan: ServicePlan): ServicePlan {
  return plan.frontends.every(isServed) ? plan : { ...plan, frontends: plan.frontends.filter(isServed) };
}

function emptyPlan(service: string): ServicePlan {
  return { service, frontends: [], rejectAddresses: [], passAddresses: [] };
}
