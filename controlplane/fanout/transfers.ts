/**
 * Makes and shares transfers: the delta from a revision to the head is assembled once for all streams that lack it, and
 * streams that need a snapshot at about the same time read one cut.
 */
import { revisionZero } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import type { TraceContext } from "@weft/proto/telemetry/trace-context.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Differences } from "./comparison.ts";
import type { DigestCut } from "./digest-cut.ts";
import { DigestCuts } from "./digest-cuts.ts";
import type { CutLimits } from "./digest-cuts.ts";
import { KnownDifferences } from "./known-differences.ts";
import { repairOf } from "./repair.ts";
import { Transfer } from "./transfer.ts";

export interface TransferLimits extends CutLimits {
  /** Largest part, below the message limit of either side. */
  readonly partBytesMax: number;
  /** Largest part of a delta. Any number of streams may be stuck with one each, whereas snapshots and repairs take turns. */
  readonly deltaPartBytesMax: number;
  /** Those of more revisions than these have smaller parts: hardly anybody else is sent the same. */
  readonly sharedDeltaRevisions: number;
  readonly oldDeltaPartBytesMax: number;
  /** Bytes of the deltas kept for one head: streams at other revisions make their own. */
  readonly deltasBytesMax: number;
  /**
   * A snapshot cut is given to newcomers until it is this old, even if the head moved on: a delta follows it. So is a digest cut:
   * what was touched since is in the repair.
   */
  readonly snapshotAgeMaxMs: number;
}

export const transferLimits: TransferLimits = {
  partBytesMax: 1_024 * 1_024,
  deltaPartBytesMax: 64 * 1_024,
  sharedDeltaRevisions: 16,
  // With 5 bytes before it one frame of HTTP/2.
  oldDeltaPartBytesMax: 16 * 1_024 - 5,
  deltasBytesMax: 16 * 1_024 * 1_024,
  snapshotAgeMaxMs: 5_000,
  cutEntriesPerTurn: 4_096,
};

export class Transfers {
  readonly #catalog: Catalog;
  readonly #limits: TransferLimits;
  readonly #traceOf: (revision: Revision) => TraceContext | undefined;
  readonly #deltas = new Map<Revision, Transfer>();
  #deltasTo: Revision | undefined;
  #deltasBytes = 0;
  /** By the mark that they carry: one with and one without at most, both only while a source is young. */
  readonly #snapshots = new Map<boolean, { readonly transfer: Transfer; readonly madeAtMs: number }>();
  readonly #known = new KnownDifferences();
  readonly #digestCuts: DigestCuts;

  /** `traceOf`: undefined if that revision is not sampled. */
  constructor(
    catalog: Catalog,
    limits: TransferLimits,
    traceOf: (revision: Revision) => TraceContext | undefined = () => undefined,
  ) {
    this.#catalog = catalog;
    this.#limits = limits;
    this.#digestCuts = new DigestCuts(catalog, limits);
    this.#traceOf = traceOf;
  }

  /** From `from` to the head; undefined if the history does not reach back to it. */
  delta(from: Revision): Transfer | undefined {
    const catalog = this.#catalog;
    if (this.#deltasTo !== catalog.head) {
      this.#deltas.clear();
      this.#deltasBytes = 0;
      this.#deltasTo = catalog.head;
    }
    const known = this.#deltas.get(from);
    if (known !== undefined) return known;
    const operations = catalog.since({ epoch: catalog.epoch, revision: from });
    if (operations.kind !== "operations") return undefined;
    const made = Transfer.delta(operations, this.#deltaPartBytesMax(from), this.#traceOf(operations.to));
    const bytes = made.bytes;
    if (this.#deltasBytes + bytes <= this.#limits.deltasBytesMax) {
      this.#deltas.set(from, made);
      this.#deltasBytes += bytes;
    }
    return made;
  }

  #deltaPartBytesMax(from: Revision): number {
    const { partBytesMax, deltaPartBytesMax, oldDeltaPartBytesMax, sharedDeltaRevisions } = this.#limits;
    const isOld = this.#catalog.head - from > sharedDeltaRevisions;
    return Math.min(partBytesMax, deltaPartBytesMax, isOld ? oldDeltaPartBytesMax : partBytesMax);
  }

  /** Size of the delta from the revision before the head. */
  headDeltaBytes(): number {
    const { head } = this.#catalog;
    return head === revisionZero ? 0 : (this.delta((head - 1) as Revision)?.bytes ?? 0);
  }

  /** A snapshot of the head, or of a revision shortly before if `isGood` says so. */
  snapshot(nowMs: number, isMassRemovalConfirmed: boolean, isGood: (cut: Transfer) => boolean): Transfer {
    const catalog = this.#catalog;
    const current = this.#snapshots.get(isMassRemovalConfirmed);
    if (
      current !== undefined &&
      (current.transfer.to === catalog.head ||
        (nowMs - current.madeAtMs < this.#limits.snapshotAgeMaxMs &&
          current.transfer.to >= catalog.floor &&
          isGood(current.transfer)))
    ) {
      return current.transfer;
    }
    const { partBytesMax } = this.#limits;
    const transfer = Transfer.snapshot(catalog.head, catalog.snapshot(), isMassRemovalConfirmed, partBytesMax);
    this.#snapshots.set(isMassRemovalConfirmed, { transfer, madeAtMs: nowMs });
    return transfer;
  }

  /** Undefined: it is being made. */
  digestCut(nowMs: number): DigestCut | undefined {
    return this.#digestCuts.get(nowMs);
  }

  whenCutMade(made: (cut: DigestCut) => void): void {
    this.#digestCuts.whenMade(made);
  }

  /** What whoever holds what has this digest is known to differ in. Undefined: not known, or of no use any more. */
  knownDifferences(digest: bigint): Differences | undefined {
    const known = this.#known.get(digest);
    return known === undefined || known.revision < this.#catalog.floor ? undefined : known;
  }

  /**
   * To the head. Undefined: the history does not reach back to the cut that was compared with.
   * @param digest Of what the agent holds.
   */
  repair(differences: Differences, digest: bigint, isMassRemovalConfirmed: boolean): Transfer | undefined {
    const catalog = this.#catalog;
    const touched = catalog.touchedSince(differences.revision);
    if (touched === undefined) return undefined;
    if (this.#known.get(digest) !== differences) this.#known.remember(digest, differences);
    return this.#known.shared(digest, catalog.head, isMassRemovalConfirmed, () =>
      Transfer.repair(catalog.head, repairOf(differences, touched), isMassRemovalConfirmed, this.#limits.partBytesMax),
    );
  }

  /** Newcomers get new ones. */
  forgetSnapshots(): void {
    this.#snapshots.clear();
  }

  /** Lets go of the cuts that nobody reads or awaits any more; that of a large cluster is worth tens of megabytes. */
  forgetCuts(): void {
    this.#snapshots.clear();
    this.#digestCuts.forget();
  }
}
