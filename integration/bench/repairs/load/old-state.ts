/** What an agent holds that was away: the head, but it lacks some of it, holds some with other bytes, and some that is gone. */
import { bucketOf, digestBuckets } from "@weft/proto/digest.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { hashEntry, hashEntryBytes } from "./head-state.ts";
import type { HeadState, KnownResource } from "./head-state.ts";

interface Wrong {
  /** Undefined: it is gone from the head. */
  readonly ours: KnownResource | undefined;
  /** Undefined: the agent lacks it. */
  readonly hash: bigint | undefined;
}

export class OldState {
  readonly #head: HeadState;
  readonly #wrong = new Map<ResourceId, Wrong>();

  /** The same one for the same `seed`. */
  constructor(head: HeadState, differing: number, seed: number) {
    this.#head = head;
    const random = randomOf(seed);
    while (this.#wrong.size < differing) {
      const ours = head.resources[random() % head.resources.length];
      if (ours === undefined) break;
      const other = BigInt(1 + random());
      const kind = this.#wrong.size % 3;
      if (kind === 0) this.#wrong.set(ours.id, { ours, hash: undefined });
      else if (kind === 1) this.#wrong.set(ours.id, { ours, hash: BigInt.asUintN(64, ours.hash + other) });
      else this.#wrong.set((ours.id ^ (other << 16n)) as ResourceId, { ours: undefined, hash: other });
    }
  }

  /** Resources that are not as in the head. */
  get wrong(): number {
    return this.#wrong.size;
  }

  get digest(): bigint {
    return this.#sums().reduce((sum, one) => BigInt.asUintN(64, sum + one), 0n);
  }

  /** `Digests.buckets`: fixed64, one behind the other. */
  sums(): Buffer {
    const bytes = Buffer.alloc(8 * digestBuckets);
    for (const [bucket, sum] of this.#sums().entries()) bytes.writeBigUInt64LE(sum, 8 * bucket);
    return bytes;
  }

  /** Entries of `Digests.resources`. */
  hashes(buckets: readonly number[]): Buffer {
    const wrong = Map.groupBy(this.#wrong, ([id]) => bucketOf(id));
    return Buffer.concat(buckets.flatMap((bucket) => this.#hashes(bucket, wrong.get(bucket) ?? [])));
  }

  /** A repair names it. @throws if it was as in the head. */
  mend(id: ResourceId): void {
    if (!this.#wrong.delete(id)) throw new Error(`a repair names ${id.toString(16)}, which did not differ`);
  }

  /** A snapshot named all. */
  replace(): void {
    this.#wrong.clear();
  }

  #sums(): readonly bigint[] {
    const sums = Array.from({ length: digestBuckets }, (_, bucket) => this.#head.sum(bucket));
    for (const [id, { ours, hash }] of this.#wrong) {
      const bucket = bucketOf(id);
      sums[bucket] = BigInt.asUintN(64, (sums[bucket] ?? 0n) - (ours?.hash ?? 0n) + (hash ?? 0n));
    }
    return sums;
  }

  #hashes(bucket: number, wrong: readonly (readonly [ResourceId, Wrong])[]): readonly Buffer[] {
    const ours = this.#head.hashes(bucket);
    const pieces: Buffer[] = [];
    let from = 0;
    for (const at of wrong.flatMap(([, { ours: one }]) => one?.place ?? []).toSorted((a, b) => a - b)) {
      pieces.push(ours.subarray(from * hashEntryBytes, at * hashEntryBytes));
      from = at + 1;
    }
    pieces.push(ours.subarray(from * hashEntryBytes));
    for (const [id, { hash }] of wrong) if (hash !== undefined) pieces.push(hashEntry(id, hash));
    return pieces;
  }
}

/** Numbers of 31 bits (mulberry32). */
function randomOf(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e37_79b9);
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 1;
  };
}
