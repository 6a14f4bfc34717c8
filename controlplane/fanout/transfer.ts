/**
 * What is sent to bring a stream to a revision: one delta, snapshot or repair, cut into parts below a limit at once, as references
 * to immutable resources, so that all parts are of one revision. Streams that lack the same share one Transfer and its bytes.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { TraceContext } from "@weft/proto/telemetry/trace-context.ts";
import { noTriggers } from "@weft/proto/trigger-times.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import type { Operations } from "../catalog/catalog.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import {
  bucketsBytes,
  deltaHeaderBytesMax,
  deltaPartBytes,
  encodeDeltaPart,
  removedEntryBytes,
  resourceEntryBytes,
  triggersBytes,
} from "./delta-bytes.ts";
import type { DeltaPart } from "./delta-bytes.ts";
import type { Repair } from "./repair.ts";

interface Slice {
  readonly removed: readonly ResourceId[];
  readonly resources: readonly CompiledResource[];
}

interface Kind {
  /** Undefined: a snapshot or a repair. */
  readonly from?: Revision;
  /** Of a repair. */
  readonly buckets?: readonly number[];
  readonly services?: number;
  readonly trace?: TraceContext | undefined;
}

export class Transfer {
  /** Undefined: a snapshot or a repair. */
  readonly from: Revision | undefined;
  /** Of a repair, ascending. */
  readonly buckets: readonly number[] | undefined;
  readonly to: Revision;
  /** Services that a snapshot lists; else 0. */
  readonly services: number;
  readonly #isMassRemovalConfirmed: boolean;
  // Told with the first part.
  readonly #triggers: TriggerTimes;
  readonly #trace: TraceContext | undefined;
  readonly #slices: readonly Slice[];
  // Of a delta in several parts each lives as long as somebody sends it: a slow stream keeps one of them, not all that it was sent.
  // Snapshots and repairs take turns, and who comes next is sent the same.
  readonly #encoded: (Uint8Array | WeakRef<Uint8Array> | undefined)[];

  private constructor(
    kind: Kind,
    to: Revision,
    isMassRemovalConfirmed: boolean,
    triggers: TriggerTimes,
    slices: readonly Slice[],
  ) {
    this.from = kind.from;
    this.buckets = kind.buckets;
    this.to = to;
    this.services = kind.services ?? 0;
    this.#isMassRemovalConfirmed = isMassRemovalConfirmed;
    this.#triggers = triggers;
    this.#trace = kind.trace;
    this.#slices = slices;
    this.#encoded = slices.map(() => undefined);
  }

  /** `trace`: of the revision that it leads to. */
  static delta(operations: Operations, partBytesMax: number, trace?: TraceContext): Transfer {
    const { from, to, puts, removed, triggers } = operations;
    const slices = cut(removed, puts, partBytesMax - triggersBytes(triggers));
    return new Transfer({ from, trace }, to, false, triggers, slices);
  }

  static snapshot(
    to: Revision,
    resources: readonly CompiledResource[],
    isMassRemovalConfirmed: boolean,
    partBytesMax: number,
  ): Transfer {
    let services = 0;
    for (const { kind } of resources) if (kind === "service") services++;
    const slices = cut([], resources, partBytesMax);
    return new Transfer({ services }, to, isMassRemovalConfirmed, noTriggers, slices);
  }

  static repair(to: Revision, repair: Repair, isMassRemovalConfirmed: boolean, partBytesMax: number): Transfer {
    const { buckets, puts, removed } = repair;
    const slices = cut(removed, puts, partBytesMax - bucketsBytes(buckets));
    return new Transfer({ buckets }, to, isMassRemovalConfirmed, noTriggers, slices);
  }

  get parts(): number {
    return this.#slices.length;
  }

  /** Bytes of all parts, whether they were encoded or not. */
  get bytes(): number {
    return this.#slices.reduce((sum, slice, i) => sum + deltaPartBytes(this.#describe(slice, i)), 0);
  }

  /** An encoded `SyncResponse`, the same bytes at every call as long as anybody holds them. */
  part(index: number): Uint8Array {
    const slice = this.#slices[index];
    if (slice === undefined) throw new RangeError(`a transfer of ${this.parts} parts has no part ${index}`);
    const known = this.#encoded[index];
    const held = known instanceof WeakRef ? known.deref() : known;
    if (held !== undefined) return held;
    const made = encodeDeltaPart(this.#describe(slice, index));
    const isKept = this.parts === 1 || this.from === undefined;
    this.#encoded[index] = isKept ? made : new WeakRef(made);
    return made;
  }

  /** All parts in order, encoded one by one and not kept. */
  *encoded(): Generator<Uint8Array> {
    for (const [i, slice] of this.#slices.entries()) yield encodeDeltaPart(this.#describe(slice, i));
  }

  #describe(slice: Slice, part: number): DeltaPart {
    const { from, buckets, to, parts } = this;
    const triggers = part === 0 ? this.#triggers : noTriggers;
    const trace = part === 0 ? this.#trace : undefined;
    const isMassRemovalConfirmed = this.#isMassRemovalConfirmed;
    return { from, buckets, to, part, parts, isMassRemovalConfirmed, triggers, trace, ...slice };
  }
}

// Removals first, then puts, as many as fit into each part. A resource larger than a part is a part of its own.
function cut(
  removed: readonly ResourceId[],
  puts: readonly CompiledResource[],
  partBytesMax: number,
): readonly Slice[] {
  const room = partBytesMax - deltaHeaderBytesMax;
  const slices: Slice[] = [];
  let slice: { removed: ResourceId[]; resources: CompiledResource[] } = { removed: [], resources: [] };
  let used = 0;
  const make = (bytes: number): void => {
    if (used > 0 && used + bytes > room) {
      slices.push(slice);
      slice = { removed: [], resources: [] };
      used = 0;
    }
    used += bytes;
  };
  for (const id of removed) {
    make(removedEntryBytes);
    slice.removed.push(id);
  }
  for (const put of puts) {
    make(resourceEntryBytes(put));
    slice.resources.push(put);
  }
  slices.push(slice);
  return slices;
}
