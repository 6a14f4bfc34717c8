/**
 * The digest of one revision, and its resources by bucket: what agents are compared with. Made when one is to be compared and
 * shared by all that are at about the same time, so that the catalog keeps no index for it: 250,000 resources cost
 * 2 MB for as long as somebody compares.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import { bucketOf, digestBuckets } from "@weft/proto/digest.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { CompiledResource } from "../catalog/resource.ts";

export class DigestCut {
  readonly revision: Revision;
  /** Bytes of all resources: what a snapshot carries. */
  readonly bytes: number;
  readonly #sums: BigUint64Array;
  // By bucket, in reading order within each; those of bucket b are at [starts[b], starts[b + 1]).
  readonly #resources: readonly CompiledResource[];
  readonly #starts: Uint32Array;

  private constructor(catalog: Catalog) {
    this.revision = catalog.head;
    this.bytes = catalog.sizes.bytes;
    this.#sums = BigUint64Array.from({ length: digestBuckets }, (_, i) => catalog.bucket(i));
    const resources = catalog.snapshot();
    const buckets = Uint16Array.from(resources, ({ id }) => bucketOf(id));
    const starts = new Uint32Array(digestBuckets + 1);
    for (const bucket of buckets) starts[bucket + 1] = (starts[bucket + 1] ?? 0) + 1;
    for (let bucket = 0; bucket < digestBuckets; bucket++)
      starts[bucket + 1] = (starts[bucket + 1] ?? 0) + (starts[bucket] ?? 0);
    const next = starts.slice();
    const sorted: CompiledResource[] = Array.from({ length: resources.length });
    for (const [i, resource] of resources.entries()) {
      const bucket = buckets[i] ?? 0;
      const at = next[bucket] ?? 0;
      next[bucket] = at + 1;
      sorted[at] = resource;
    }
    this.#resources = sorted;
    this.#starts = starts;
  }

  /** Of the head. */
  static of(catalog: Catalog): DigestCut {
    return new DigestCut(catalog);
  }

  get resources(): number {
    return this.#resources.length;
  }

  sum(bucket: number): bigint {
    return this.#sums[bucket] ?? 0n;
  }

  /** Resources in a bucket. */
  count(bucket: number): number {
    return (this.#starts[bucket + 1] ?? 0) - (this.#starts[bucket] ?? 0);
  }

  in(bucket: number): readonly CompiledResource[] {
    return this.#resources.slice(this.#starts[bucket] ?? 0, this.#starts[bucket + 1] ?? 0);
  }
}
