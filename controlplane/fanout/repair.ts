/** What brings an agent that differs from a cut to the head. Pure. */
import { bucketOf } from "@weft/proto/digest.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { Touched } from "../catalog/catalog.ts";
import { inReadingOrder } from "../catalog/catalog.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import type { Differences } from "./comparison.ts";

export interface Repair {
  /** Of all that is named, ascending. */
  readonly buckets: readonly number[];
  readonly puts: readonly CompiledResource[];
  /** Every one, also of backends whose service is removed: a repair touches nothing that it does not name. */
  readonly removed: readonly ResourceId[];
}

/** The head is the cut with `touched` over it, so whoever is `differences` away from the cut is both away from the head. */
export function repairOf({ puts, removed }: Differences, touched: Touched): Repair {
  const put = new Map<ResourceId, CompiledResource>();
  const gone = new Set(removed);
  for (const resource of puts) put.set(resource.id, resource);
  for (const id of touched.removed) {
    put.delete(id);
    gone.add(id);
  }
  for (const resource of touched.puts) {
    gone.delete(resource.id);
    put.set(resource.id, resource);
  }
  const buckets = new Set<number>();
  for (const id of put.keys()) buckets.add(bucketOf(id));
  for (const id of gone) buckets.add(bucketOf(id));
  return {
    buckets: [...buckets].toSorted((a, b) => a - b),
    puts: inReadingOrder([...put.values()]),
    removed: [...gone],
  };
}
