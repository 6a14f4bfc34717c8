/**
 * Looks at everything in the background: the kernel's maps against what was written, the store's digest against its bytes, and what
 * is live against plans made anew. A pass is spread over half of the interval and begun once per half, so everything is looked at
 * within the interval.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { digestBuckets } from "@weft/proto/digest.ts";
import { messageOf } from "@weft/proto/program/errors.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { AuditFinding, Dataplane } from "../dataplane/dataplane.ts";
import type { PlanDifference } from "../dataplane/plan-difference.ts";
import type { Store } from "../sync/store.ts";
import type { AuditMetrics } from "./audit-metrics.ts";
import { PlanAudit } from "./plan-audit.ts";
import type { Rounds } from "./rounds.ts";

export interface AuditorOptions {
  readonly dataplane: Dataplane;
  readonly store: Store;
  readonly rounds: Pick<Rounds, "plannerAtRest" | "planAgain">;
  /** Within this every entry is looked at; 0: never. */
  readonly intervalMs: number;
  readonly log: Log;
  readonly metrics: AuditMetrics;
  /** Heartbeats that agreed with the store so far. */
  readonly agreements: () => number;
  /** The store's digest was not that of its bytes, and is now. */
  readonly onDigestCorrected: () => void;
}

/** Between two looks: each is kept so short that no round waits for it. */
const tickMsMax = 250;
const ticksPerPassMin = 100;
/** Buckets whose resources are hashed at once: with 250,000 resources each look takes 25 ms, most of it to find them. */
const bucketsPerTick = 32;
const storeTicks = digestBuckets / bucketsPerTick;
const entriesPerTickMin = 64;
/** Of the time of a pass; what the store leaves of the first is for the maps. */
const mapsAndStoreShare = 0.65;
const plansShare = 0.25;
/** Services are planned for so long at once, at least one. */
const planSliceMs = 1;
/** More in one pass are counted only. */
const saidPerPassMax = 16;

type Place =
  | { readonly kind: "waiting" }
  | { readonly kind: "maps" }
  | { readonly kind: "store"; readonly bucket: number }
  | { readonly kind: "plans"; readonly beganAtMs: number; readonly dueAtMs: number };

export class Auditor {
  readonly #options: AuditorOptions;
  readonly #planAudit: PlanAudit;
  readonly #tickMs: number;
  #place: Place = { kind: "waiting" };
  #beganAtMs = -Infinity;
  #found = 0;

  constructor(options: AuditorOptions) {
    this.#options = options;
    this.#planAudit = new PlanAudit(options.store, options.dataplane);
    this.#tickMs = Math.max(1, Math.min(tickMsMax, options.intervalMs / 2 / ticksPerPassMin));
  }

  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs, log, metrics } = this.#options;
    if (intervalMs === 0) return;
    try {
      for (let waitMs = this.#tickMs; !signal.aborted;) {
        await sleep(waitMs, undefined, { signal, ref: false });
        try {
          this.#mend();
          waitMs = this.#look(performance.now());
        } catch (error) {
          metrics.errors.inc();
          log.warn(`the audit failed, tried again: ${messageOf(error)}`);
          this.#place = { kind: "waiting" };
          waitMs = this.#tickMs;
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  // Milliseconds to the next.
  #look(nowMs: number): number {
    const { dataplane, store, intervalMs } = this.#options;
    switch (this.#place.kind) {
      case "waiting":
        if (nowMs < this.#beganAtMs + intervalMs / 2) return this.#wait(this.#beganAtMs + intervalMs / 2 - nowMs);
        this.#beganAtMs = nowMs;
        this.#found = 0;
        this.#place = { kind: "maps" };
        break;
      case "maps": {
        const ticks = Math.max(1, Math.floor((intervalMs / 2 / this.#tickMs) * mapsAndStoreShare) - storeTicks);
        const entries = Math.max(entriesPerTickMin, Math.ceil(dataplane.auditSize() / ticks));
        const { findings, isEnd } = dataplane.audit(entries);
        for (const finding of findings) this.#say(finding);
        if (isEnd) this.#place = { kind: "store", bucket: 0 };
        break;
      }
      case "store": {
        const until = this.#place.bucket + bucketsPerTick;
        this.#auditStore(store, this.#place.bucket, until);
        if (until < digestBuckets) this.#place = { kind: "store", bucket: until };
        else this.#beginPlans(nowMs);
        break;
      }
      case "plans":
        return this.#lookAtPlans(this.#place, nowMs);
    }
    return this.#tickMs;
  }

  #beginPlans(nowMs: number): void {
    const { suspects } = this.#planAudit;
    this.#place = { kind: "plans", beganAtMs: nowMs, dueAtMs: nowMs };
    if (suspects.length === 0) return;
    this.#options.log.warn(
      "what is live is not the plan of what is held, and stays: no control plane has confirmed what is held since that was found",
      { services: suspects.length, first: suspects[0] },
    );
  }

  #lookAtPlans(place: Extract<Place, { readonly kind: "plans" }>, nowMs: number): number {
    const { rounds, agreements, intervalMs } = this.#options;
    const spanMs = (intervalMs / 2) * plansShare;
    if (nowMs < place.dueAtMs) return this.#wait(place.dueAtMs - nowMs);
    const planner = rounds.plannerAtRest;
    if (planner === undefined) {
      // Nothing can be activated, or nothing is open yet: then nothing is known of what is live.
      if (nowMs > place.dueAtMs + spanMs) this.#place = { kind: "waiting" };
      return Math.min(this.#tickMs, retryMs);
    }
    const untilMs = nowMs + planSliceMs;
    const { share, isEnd } = this.#planAudit.look(planner, agreements(), () => performance.now() >= untilMs);
    if (isEnd) {
      this.#endPass();
      return this.#tickMs;
    }
    const dueAtMs = place.beganAtMs + spanMs * share;
    this.#place = { ...place, dueAtMs };
    return this.#wait(dueAtMs - nowMs);
  }

  // What is suspected may be mended in between.
  #wait(ms: number): number {
    return Math.max(1, this.#planAudit.suspects.length > 0 ? Math.min(this.#tickMs, ms) : ms);
  }

  #endPass(): void {
    const { log, metrics } = this.#options;
    this.#place = { kind: "waiting" };
    if (this.#found > saidPerPassMax) {
      log.warn("the audit found more than is said one by one", { found: this.#found });
    }
    metrics.passDone((performance.now() - this.#beganAtMs) / 1_000);
  }

  // Bytes that are not those of the digest are the control plane's to repair first.
  #mend(): void {
    const { store, rounds, agreements, metrics, log } = this.#options;
    const agreed = agreements();
    const planner = this.#planAudit.isMendingDue(agreed) ? rounds.plannerAtRest : undefined;
    if (planner === undefined || !this.#auditStore(store, 0, digestBuckets)) return;
    const { differences, again, errors } = this.#planAudit.mend(planner, agreed);
    for (const difference of differences) this.#sayPlan(difference);
    for (const error of errors) {
      metrics.errors.inc();
      log.warn(`the audit cannot plan a service, tried again: ${messageOf(error)}`);
    }
    if (again.size > 0) rounds.planAgain(again);
  }

  // False: something was wrong.
  #auditStore(store: Store, from: number, until: number): boolean {
    const { log, metrics, agreements, onDigestCorrected } = this.#options;
    const corrected = store.auditDigest(from, until);
    if (corrected.length === 0) return true;
    metrics.storeMismatches.inc(corrected.length);
    this.#planAudit.distrust(agreements());
    log.error(
      "what is held is not what its digest says: the control plane is told the digest of what is held, and repairs it",
      {
        buckets: corrected.join(),
      },
    );
    onDigestCorrected();
    return false;
  }

  #say({ map, kind, service, entry, failure }: AuditFinding): void {
    const { log, metrics } = this.#options;
    metrics.findings.with(map, kind).inc();
    if (failure !== undefined) metrics.failures.inc();
    if (this.#found++ >= saidPerPassMax) return;
    const outcome = failure === undefined ? "repaired" : `not repaired: ${failure}; tried again in the next pass`;
    log.warn(`somebody changed the map ${map}: ${wordsOf[kind]}; ${outcome}`, { entry, service });
  }

  #sayPlan({ kind, servicePort, entry, what }: PlanDifference): void {
    const { log, metrics } = this.#options;
    metrics.findings.with("plan", kind).inc();
    if (this.#found++ >= saidPerPassMax) return;
    log.warn(`what is live is not what is planned: ${what}; planned again`, { entry, service: servicePort });
  }
}

/** Until rounds may be at rest. */
const retryMs = 20;

const wordsOf: Readonly<Record<AuditFinding["kind"], string>> = {
  missing: "an entry was missing",
  surplus: "an entry was not of this agent",
  differs: "an entry was not as written",
};
