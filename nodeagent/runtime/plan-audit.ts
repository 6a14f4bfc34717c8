/**
 * Compares what the dataplane was given with plans made anew from the bytes held, service by service, and the other way: what it was
 * given for services that there are not. What differs is at first only suspected, since it may be the store that is wrong, and what is
 * live right: once a later heartbeat has agreed with the store, what is live must be its plan. Pure.
 */
import type { Dataplane } from "../dataplane/dataplane.ts";
import type { PlanDifference } from "../dataplane/plan-difference.ts";
import type { NodePlanner } from "../plan/plan-node.ts";
import type { AuditedService, Store } from "../sync/store.ts";

export interface PlanLook {
  /** Done of this pass: 0 to 1. */
  readonly share: number;
  readonly isEnd: boolean;
}

export interface PlanMending {
  readonly differences: readonly PlanDifference[];
  /** Services to plan again. */
  readonly again: ReadonlySet<string>;
  /** Of each service that cannot be planned. */
  readonly errors: readonly unknown[];
}

/** Between two looks at the clock, where an entry costs less than that. */
const entriesPerLook = 64;

export class PlanAudit {
  readonly #store: Store;
  readonly #dataplane: Dataplane;
  #pass: Generator<number, undefined> | undefined;
  #done = 0;
  #agreements = 0;
  // By name: agreements when it was first suspected.
  readonly #suspects = new Map<string, number>();
  #isIndexWrong = false;

  constructor(store: Store, dataplane: Dataplane) {
    this.#store = store;
    this.#dataplane = dataplane;
  }

  /** Names of services that differ and were not mended. */
  get suspects(): readonly string[] {
    return [...this.#suspects.keys()];
  }

  /** @param agreements heartbeats that agreed with the store so far */
  isMendingDue(agreements: number): boolean {
    for (const since of this.#suspects.values()) if (since < agreements) return true;
    return false;
  }

  /** Agreements so far were with a digest that was wrong. */
  distrust(agreements: number): void {
    for (const name of this.#suspects.keys()) this.#suspects.set(name, agreements);
  }

  /** Looks at one service, and at more until `isOver`. Only while the planner is at rest; between two looks all may change. */
  look(planner: NodePlanner, agreements: number, isOver: () => boolean): PlanLook {
    this.#agreements = agreements;
    if (this.#pass === undefined) this.#done = 0;
    const pass = this.#pass ?? this.#wholePass(planner);
    for (let entries = 1; ; entries++) {
      // One that throws is over.
      this.#pass = undefined;
      const next = pass.next();
      if (next.done === true) return { share: 1, isEnd: true };
      this.#pass = pass;
      this.#done += next.value;
      if ((next.value > 0 || entries % entriesPerLook === 0) && isOver()) {
        const { services, backends } = this.#store.counts;
        return { share: Math.min(1, this.#done / (services + backends)), isEnd: false };
      }
    }
  }

  /** Looks again at what is suspected since before the last agreement, and corrects what is remembered wrongly. Likewise. */
  mend(planner: NodePlanner, agreements: number): PlanMending {
    const differences: PlanDifference[] = [];
    const again = new Set<string>();
    const errors: unknown[] = [];
    const isIndexWrong = this.#isIndexWrong;
    this.#isIndexWrong = false;
    if (isIndexWrong) this.#store.reindex();
    for (const [name, since] of this.#suspects) {
      if (since >= agreements) continue;
      this.#suspects.delete(name);
      try {
        const { view } = this.#store.auditService(name);
        this.#store.forgetDecoded(name);
        let plan = planner.check(name, view);
        if (plan === undefined) {
          for (const affected of planner.correct(name, view)) again.add(affected);
          plan = planner.check(name, view);
        }
        const found = plan === undefined ? [] : this.#dataplane.compare(plan);
        differences.push(...found);
        if (found.length > 0) again.add(name);
        else if (again.has(name)) differences.push(remembered(name, "what it claims was remembered wrongly"));
        else if (isIndexWrong) differences.push(remembered(name, "its backends were remembered wrongly"));
      } catch (error) {
        errors.push(error);
      }
    }
    return { differences, again, errors };
  }

  // Yields how much work that was; 0: next to none.
  *#wholePass(planner: NodePlanner): Generator<number, undefined> {
    const store = this.#store;
    for (const name of store.serviceNames()) yield this.#lookAt(name, planner);
    for (const names of [planner.serviceNames(), this.#dataplane.services()]) {
      for (const name of names) {
        if (!store.hasService(name)) this.#suspect(name);
        yield 0;
      }
    }
    for (const service of store.unindexed()) {
      if (service !== undefined) {
        this.#isIndexWrong = true;
        this.#suspect(service);
      }
      yield 0;
    }
  }

  #lookAt(name: string, planner: NodePlanner): number {
    let audited: AuditedService | undefined;
    try {
      audited = this.#store.auditService(name);
      if (!audited.isIndexed) this.#isIndexWrong = true;
      const plan = audited.isIndexed ? planner.check(name, audited.view) : undefined;
      if (plan === undefined || this.#dataplane.compare(plan).length > 0) this.#suspect(name);
    } catch {
      // Bytes that cannot be read: the digest is not theirs.
      this.#suspect(name);
    }
    return 1 + (audited?.backends ?? 0);
  }

  #suspect(name: string): void {
    if (!this.#suspects.has(name)) this.#suspects.set(name, this.#agreements);
  }
}

function remembered(service: string, what: string): PlanDifference {
  return { kind: "differs", servicePort: service, entry: "", what };
}
