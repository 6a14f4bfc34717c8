/**
 * Looks at everything in the background: the kernel's maps against what was written, then the store's digest against its bytes.
 * A pass is spread over half of the interval and begun once per half, so every entry is looked at within the interval.
 */
import { setInterval as every } from "node:timers/promises";
import { digestBuckets } from "@weft/proto/digest.ts";
import { messageOf } from "@weft/proto/program/errors.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { AuditFinding, Dataplane } from "../dataplane/dataplane.ts";
import type { Store } from "../sync/store.ts";
import type { AuditMetrics } from "./audit-metrics.ts";

export interface AuditorOptions {
  readonly dataplane: Dataplane;
  readonly store: Store;
  /** Within this every entry is looked at; 0: never. */
  readonly intervalMs: number;
  readonly log: Log;
  readonly metrics: AuditMetrics;
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
/** More in one pass are counted only. */
const saidPerPassMax = 16;

type Place =
  | { readonly kind: "waiting" }
  | { readonly kind: "maps" }
  | { readonly kind: "store"; readonly bucket: number };

export class Auditor {
  readonly #options: AuditorOptions;
  #place: Place = { kind: "waiting" };
  #beganAtMs = -Infinity;
  #found = 0;

  constructor(options: AuditorOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs, log, metrics } = this.#options;
    if (intervalMs === 0) return;
    const tickMs = Math.max(1, Math.min(tickMsMax, intervalMs / 2 / ticksPerPassMin));
    const mapTicks = Math.max(1, Math.floor((intervalMs / 2 / tickMs) * 0.9) - storeTicks);
    try {
      for await (const _ of every(tickMs, undefined, { signal, ref: false })) {
        try {
          this.#look(mapTicks);
        } catch (error) {
          metrics.errors.inc();
          log.warn(`the audit of the maps failed, tried again: ${messageOf(error)}`);
          this.#place = { kind: "waiting" };
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #look(mapTicks: number): void {
    const { dataplane, store, intervalMs, metrics } = this.#options;
    const nowMs = performance.now();
    switch (this.#place.kind) {
      case "waiting":
        if (nowMs < this.#beganAtMs + intervalMs / 2) return;
        this.#beganAtMs = nowMs;
        this.#found = 0;
        this.#place = { kind: "maps" };
        return;
      case "maps": {
        const entries = Math.max(entriesPerTickMin, Math.ceil(dataplane.auditSize() / mapTicks));
        const { findings, isEnd } = dataplane.audit(entries);
        for (const finding of findings) this.#say(finding);
        if (isEnd) this.#place = { kind: "store", bucket: 0 };
        return;
      }
      case "store": {
        const { bucket } = this.#place;
        this.#auditStore(store, bucket);
        if (bucket + bucketsPerTick < digestBuckets) {
          this.#place = { kind: "store", bucket: bucket + bucketsPerTick };
          return;
        }
        if (this.#found > saidPerPassMax) {
          this.#options.log.warn("the audit found more than is said one by one", { found: this.#found });
        }
        metrics.passDone((performance.now() - this.#beganAtMs) / 1_000);
        this.#place = { kind: "waiting" };
      }
    }
  }

  #auditStore(store: Store, bucket: number): void {
    const { log, metrics, onDigestCorrected } = this.#options;
    const corrected = store.auditDigest(bucket, bucket + bucketsPerTick);
    if (corrected.length === 0) return;
    metrics.storeMismatches.inc(corrected.length);
    log.error(
      "what is held is not what its digest says: the control plane is told the digest of what is held, and repairs it",
      {
        buckets: corrected.join(),
      },
    );
    onDigestCorrected();
  }

  #say({ map, kind, service, entry, failure }: AuditFinding): void {
    const { log, metrics } = this.#options;
    metrics.findings.with(map, kind).inc();
    if (failure !== undefined) metrics.failures.inc();
    if (this.#found++ >= saidPerPassMax) return;
    const outcome = failure === undefined ? "repaired" : `not repaired: ${failure}; tried again in the next pass`;
    log.warn(`somebody changed the map ${map}: ${wordsOf[kind]}; ${outcome}`, { entry, service });
  }
}

const wordsOf: Readonly<Record<AuditFinding["kind"], string>> = {
  missing: "an entry was missing",
  surplus: "an entry was not of this agent",
  differs: "an entry was not as written",
};
