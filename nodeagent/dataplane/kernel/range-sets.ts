/**
 * Sets of allowed sources in the map `ranges`: counted, immutable while a descriptor names them, and free again one grace after.
 * Pure: effects go through KernelMaps.
 */
import { printPrefix, type Prefix } from "@weft/proto/address.ts";
import { rangeElementKey } from "./element-key.ts";
import { IndexAllocator } from "./index-allocator.ts";
import type { KernelMaps } from "./kernel-maps.ts";
import { rangeKeyLayout, rangeSetsMax } from "./layout.ts";

export interface RangeSet {
  /** Never 0, which stands for every source. */
  readonly id: number;
  readonly prefixes: readonly Prefix[];
  count: number;
}

export class RangeSets {
  readonly #maps: KernelMaps;
  readonly #ids = new IndexAllocator(1, rangeSetsMax);
  /** Those in use, by id. */
  readonly #sets = new Map<number, RangeSet>();
  /** By set: keys of its elements, once they were asked for. */
  readonly #keys = new WeakMap<RangeSet, ReadonlySet<string>>();
  #orphans: readonly { readonly id: number; readonly prefixes: readonly Prefix[] }[] = [];

  constructor(maps: KernelMaps) {
    this.#maps = maps;
  }

  /** How many sets descriptors name, or are about to. */
  get used(): number {
    return this.#sets.size;
  }

  /** Elements of all sets. */
  get size(): number {
    let size = 0;
    for (const { prefixes } of this.#sets.values()) size += prefixes.length;
    return size;
  }

  /** Whether this is the key of an element of a set in use. */
  isHeld(key: Uint8Array): boolean {
    const id = new DataView(key.buffer, key.byteOffset).getUint32(rangeKeyLayout.set, true);
    const set = this.#sets.get(id);
    if (set === undefined) return false;
    const keys = this.#keys.get(set) ?? new Set(set.prefixes.map((prefix) => rangeElementKey(id, prefix).join()));
    this.#keys.set(set, keys);
    return keys.has(key.join());
  }

  /** A fresh set, counted once. Undefined, and nothing is kept, if the kernel has no room. */
  take(prefixes: readonly Prefix[]): RangeSet | undefined {
    const id = this.#ids.take();
    if (id === undefined) return undefined;
    for (const [at, prefix] of prefixes.entries()) {
      if (this.#maps.insert("ranges", rangeElementKey(id, prefix), 1) === 0) continue;
      this.#remove({ id, prefixes: prefixes.slice(0, at) });
      this.#ids.release(id);
      return undefined;
    }
    const set = { id, prefixes, count: 1 };
    this.#sets.set(id, set);
    return set;
  }

  /** Gives one count back; with the last one the set is gone. Only if no reader can reach it through that descriptor. */
  release(set: RangeSet): void {
    if (--set.count > 0) return;
    this.#remove(set);
    this.#ids.release(set.id);
    this.#sets.delete(set.id);
  }

  /** Takes over sets that live descriptors name; once, first. */
  adopt(found: ReadonlyMap<number, readonly Prefix[]>, named: ReadonlySet<number>): Map<number, RangeSet> {
    const adopted = new Map<number, RangeSet>();
    for (const id of named) adopted.set(id, { id, prefixes: found.get(id) ?? [], count: 0 });
    this.#orphans = Array.from(found, ([id, prefixes]) => ({ id, prefixes })).filter(({ id }) => !named.has(id));
    this.#ids.adopt([...named, ...this.#orphans.map(({ id }) => id)].filter((id) => id > 0 && id < rangeSetsMax));
    for (const set of adopted.values()) this.#sets.set(set.id, set);
    return adopted;
  }

  /** Once, one grace after `adopt`: what a killed agent staged, or had not yet removed. */
  removeOrphans(): void {
    for (const orphan of this.#orphans) {
      this.#remove(orphan);
      if (orphan.id > 0 && orphan.id < rangeSetsMax) this.#ids.release(orphan.id);
    }
    this.#orphans = [];
  }

  #remove({ id, prefixes }: { readonly id: number; readonly prefixes: readonly Prefix[] }): void {
    for (const prefix of prefixes) this.#maps.remove("ranges", rangeElementKey(id, prefix));
  }
}

/** In any order; undefined is every source. */
export function isSameRanges(a: readonly Prefix[] | undefined, b: readonly Prefix[] | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || a.length !== b.length) return false;
  const texts = new Set(a.map(printPrefix));
  return b.every((prefix) => texts.has(printPrefix(prefix)));
}
