/**
 * Digest of a set of resources: 64-bit sums over the hashes, per bucket (1,024 by id) and as a root. Sums commute, so the
 * digest depends on what is held and not on how it came; adding and removing cost O(1).
 */
import type { Hash64 } from "./hash.ts";
import type { ResourceId } from "./ids.ts";

export const digestBuckets = 1_024;

/** Bucket of an id: its low 10 bits. */
export function bucketOf(id: ResourceId): number {
  return Number(BigInt.asUintN(10, id));
}

export class Digest {
  // [bucket * 2] is the low half of the sum, [bucket * 2 + 1] the high half; the root stands behind the last bucket.
  readonly #sums = new Uint32Array((digestBuckets + 1) * 2);

  add(id: ResourceId, hash: Hash64): void {
    this.addTo(bucketOf(id), hash);
  }

  /** The same by the bucket of the id. */
  addTo(bucket: number, { high, low }: Hash64): void {
    this.#addAt(bucket, high, low);
    this.#addAt(digestBuckets, high, low);
  }

  remove(id: ResourceId, hash: Hash64): void {
    const low = -hash.low >>> 0;
    const high = (~hash.high + (hash.low === 0 ? 1 : 0)) >>> 0;
    this.#addAt(bucketOf(id), high, low);
    this.#addAt(digestBuckets, high, low);
  }

  get root(): bigint {
    return this.#sumAt(digestBuckets);
  }

  /** Makes one bucket what it is in `right`, and the root with it. False: it was so already. */
  correct(index: number, right: Digest): boolean {
    if (this.bucket(index) === right.bucket(index)) return false;
    const difference = BigInt.asUintN(64, right.bucket(index) - this.bucket(index));
    const low = Number(difference & 0xffff_ffffn);
    const high = Number(difference >> 32n);
    this.#addAt(index, high, low);
    this.#addAt(digestBuckets, high, low);
    return true;
  }

  bucket(index: number): bigint {
    if (index < 0 || index >= digestBuckets) throw new RangeError(`no bucket ${index}`);
    return this.#sumAt(index);
  }

  #addAt(index: number, high: number, low: number): void {
    const sums = this.#sums;
    const lowSum = (sums[index * 2] ?? 0) + low;
    sums[index * 2] = lowSum;
    sums[index * 2 + 1] = (sums[index * 2 + 1] ?? 0) + high + (lowSum > 0xffff_ffff ? 1 : 0);
  }

  #sumAt(index: number): bigint {
    return (BigInt(this.#sums[index * 2 + 1] ?? 0) << 32n) | BigInt(this.#sums[index * 2] ?? 0);
  }
}
