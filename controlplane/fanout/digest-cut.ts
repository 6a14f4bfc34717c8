/**
 * What is at about one revision, by bucket, and its digest: what agents are compared with. Made when one is to be compared and
 * shared by all that are at about the same time, so that the catalog keeps no index for it: 250,000 resources cost
 * 3 MB for as long as somebody compares, and up to 8 MB more for the buckets that differ.
 *
 * It is made while commits go on, and lacks what they touch before it is reached. Nobody misses that: whoever is compared
 * with it is given what was touched since `revision` as well.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import { bucketOf, Digest, digestBuckets } from "@weft/proto/digest.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import { BucketIndex } from "./bucket-index.ts";

export class DigestCut {
  /** Everything in it is as it was then; what it lacks of that was touched later. */
  readonly revision: Revision;
  readonly #digest = new Digest();
  readonly #buckets: readonly CompiledResource[][] = Array.from({ length: digestBuckets }, () => []);
  /** Of those that were asked for. */
  readonly #indexes: (BucketIndex | undefined)[] = [];
  #bytes = 0;
  #resources = 0;

  private constructor(revision: Revision) {
    this.revision = revision;
  }

  /** Of the head, all at once. */
  static of(catalog: Catalog): DigestCut {
    const slices = DigestCut.inSlices(catalog, Number.POSITIVE_INFINITY);
    for (let next = slices.next(); ; next = slices.next()) if (next.done === true) return next.value;
  }

  /** Of the head at the first slice. Commits may be applied between two of them. */
  static *inSlices(catalog: Catalog, entriesPerSlice: number): Generator<undefined, DigestCut> {
    const cut = new DigestCut(catalog.head);
    let isFirst = true;
    for (const slice of catalog.untouchedSince(cut.revision, entriesPerSlice)) {
      if (!isFirst) yield undefined;
      isFirst = false;
      for (const resource of slice) cut.#add(resource);
    }
    return cut;
  }

  /** Bytes of all resources: what a snapshot carries. */
  get bytes(): number {
    return this.#bytes;
  }

  get resources(): number {
    return this.#resources;
  }

  sum(bucket: number): bigint {
    return this.#digest.bucket(bucket);
  }

  /** Resources in a bucket. */
  count(bucket: number): number {
    return this.in(bucket).length;
  }

  in(bucket: number): readonly CompiledResource[] {
    return this.#buckets[bucket] ?? [];
  }

  /** Of `in(bucket)`. */
  index(bucket: number): BucketIndex {
    return (this.#indexes[bucket] ??= new BucketIndex(this.in(bucket)));
  }

  #add(resource: CompiledResource): void {
    this.#digest.add(resource.id, resource.hash);
    this.#buckets[bucketOf(resource.id)]?.push(resource);
    this.#bytes += resource.bytesLength;
    this.#resources++;
  }
}
