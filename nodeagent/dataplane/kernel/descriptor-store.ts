/**
 * What states point to: descriptors, the ranges of backends and the names that those point to. Each is counted and shared,
 * immutable while counted, and its slot is free again one grace after its count fell to 0. Pure.
 */
import type { Prefix } from "@weft/proto/address.ts";
import { resourceId } from "@weft/proto/ids.ts";
import type { Action, Frontend } from "../../plan/frontend.ts";
import type { Targets } from "../../plan/targets.ts";
import { IndexAllocator } from "./index-allocator.ts";
import type { GrowingArray, KernelMaps } from "./kernel-maps.ts";
import {
  actionCodes,
  backendLayout,
  descriptorLayout,
  firstFreeDescriptor,
  kindCodes,
  nameBytesMax,
  nameLayout,
} from "./layout.ts";
import type { MapSizes } from "./map-sizes.ts";
import { RangeAllocator } from "./range-allocator.ts";
import { isSameRanges, RangeSets, type RangeSet } from "./range-sets.ts";

interface Range {
  readonly base: number;
  targets: Targets;
  count: number;
}

interface Name {
  readonly index: number;
  readonly text: string;
  count: number;
}

/** What a descriptor says, apart from where. */
export type Content = Pick<
  Frontend,
  "kind" | "servicePort" | "scope" | "affinitySeconds" | "targets" | "sourceRanges"
> & {
  readonly action: Action | "pass";
};

export interface Descriptor {
  readonly index: number;
  content: Content;
  readonly range: Range | undefined;
  readonly name: Name | undefined;
  /** Undefined: every source. */
  readonly rangeSet: RangeSet | undefined;
  /** That of the round that made it. */
  readonly revision: number;
  /** Words that name it, and holds of the staging. */
  count: number;
}

/** Where a descriptor points to. */
export interface Pointers {
  readonly base: number;
  readonly name: number;
  /** 0: every source. */
  readonly rangeSet: number;
}

/** What an adopted descriptor says and points to. */
export interface AdoptedDescriptor extends Pointers {
  readonly index: number;
  readonly content: Content;
  readonly revision: number;
}

export class DescriptorStore {
  readonly rangeSets: RangeSets;
  readonly #maps: KernelMaps;
  readonly #sizes: MapSizes;
  readonly #descriptorIndices: IndexAllocator;
  readonly #nameIndices: IndexAllocator;
  readonly #ranges: RangeAllocator;
  readonly #names = new Map<string, Name>();
  readonly #descriptorView: DataView;
  readonly #backendBytes: Uint8Array;
  readonly #backendView: DataView;
  readonly #nameView: DataView;
  readonly #encoder = new TextEncoder();
  readonly #scratch = new Uint8Array(nameLayout.size);

  constructor(maps: KernelMaps) {
    const { arrays, sizes } = maps;
    this.#maps = maps;
    this.#sizes = sizes;
    this.rangeSets = new RangeSets(maps);
    this.#descriptorIndices = new IndexAllocator(firstFreeDescriptor, sizes.descriptors);
    this.#nameIndices = new IndexAllocator(1, sizes.names);
    this.#ranges = new RangeAllocator(sizes.backends);
    this.#descriptorView = new DataView(arrays.descriptors);
    this.#backendBytes = new Uint8Array(arrays.backends);
    this.#backendView = new DataView(arrays.backends);
    this.#nameView = new DataView(arrays.names);
    maps.reach("descriptors", firstFreeDescriptor);
  }

  /** Slots of `backends` in use. */
  get backendsUsed(): number {
    return this.#sizes.backends - this.#ranges.available;
  }

  /**
   * A descriptor of this content: one of `shared` if it says the same, else a new one, with a range of `shared` if the targets
   * are the same. Not yet counted. Undefined if there is no room; `isFromReserve` opens the last part of the maps.
   */
  find(
    content: Content,
    shared: readonly Descriptor[],
    revision: number,
    isFromReserve: boolean,
  ): Descriptor | undefined {
    const same = shared.find((descriptor) => isSameContent(descriptor.content, content));
    if (same !== undefined) {
      // What was adopted says the same by objects of its own: they go.
      same.content = content;
      if (same.range !== undefined) same.range.targets = content.targets;
      return same;
    }
    const index = this.#descriptorIndices.take(isFromReserve ? 0 : this.#sizes.reserve.descriptors);
    if (index === undefined) return undefined;
    const name = this.#isReached("descriptors", index + 1) ? this.#takeName(content.servicePort) : undefined;
    if (name === undefined) {
      this.#descriptorIndices.release(index);
      return undefined;
    }
    const rangeSet = this.#takeRangeSet(content.sourceRanges, shared);
    const range = this.#takeRange(content.targets, shared, isFromReserve);
    const isShort = range === undefined && content.targets.length > 0;
    if (isShort || (rangeSet === undefined && content.sourceRanges !== undefined)) {
      if (rangeSet !== undefined) this.rangeSets.release(rangeSet);
      if (range !== undefined) this.#releaseRange(range);
      this.#releaseName(name);
      this.#descriptorIndices.release(index);
      return undefined;
    }
    this.write(index, content, { base: range?.base ?? 0, name: name.index, rangeSet: rangeSet?.id ?? 0 }, revision);
    return { index, content, range, name, rangeSet, revision, count: 0 };
  }

  /** Its slots are free for the next. Only if no reader can reach it: never staged, or one grace after its count fell to 0. */
  release(descriptor: Descriptor): void {
    const { range, name, rangeSet } = descriptor;
    if (range !== undefined) this.#releaseRange(range);
    if (rangeSet !== undefined) this.rangeSets.release(rangeSet);
    if (name !== undefined) this.#releaseName(name);
    this.#descriptorIndices.release(descriptor.index);
  }

  /** Takes over what was found live. Those that overlap others are left out: nothing points to them afterwards. */
  adopt(
    found: readonly AdoptedDescriptor[],
    foundSets: ReadonlyMap<number, readonly Prefix[]>,
  ): Map<number, Descriptor> {
    const named = new Set(found.map(({ rangeSet }) => rangeSet).filter((id) => id !== 0));
    const sets = this.rangeSets.adopt(foundSets, named);
    const adopted = new Map<number, Descriptor>();
    const ranges = new Map<string, Range>();
    for (const { index, content, base, name, rangeSet: setId, revision } of found) {
      let range: Range | undefined;
      if (content.targets.length > 0) {
        const key = `${base} ${content.targets.length}`;
        range = ranges.get(key);
        if (range === undefined) {
          if (!this.#ranges.adopt(base, content.targets.length)) continue;
          this.#maps.reach("backends", base + content.targets.length);
          range = { base, targets: content.targets, count: 0 };
          ranges.set(key, range);
        }
        range.count++;
      }
      const known = this.#names.get(content.servicePort) ?? { index: name, text: content.servicePort, count: 0 };
      known.count++;
      this.#maps.reach("names", known.index + 1);
      this.#maps.reach("descriptors", index + 1);
      this.#names.set(content.servicePort, known);
      const rangeSet = sets.get(setId);
      if (rangeSet !== undefined) rangeSet.count++;
      adopted.set(index, { index, content, range, name: known, rangeSet, revision, count: 0 });
    }
    this.#descriptorIndices.adopt(adopted.keys());
    this.#nameIndices.adopt(new Set(Array.from(this.#names.values(), (name) => name.index)));
    return adopted;
  }

  write(index: number, content: Content, pointers: Pointers, revision: number): void {
    writeDescriptor(this.#descriptorView, index * descriptorLayout.size, content, pointers, revision);
  }

  /**
   * Writes again what of a descriptor, its name or `targetsMax` of its targets from `from` on is not as it was written, and says what.
   * Only for one that is in use.
   */
  restore({ index, content, range, name, rangeSet, revision }: Descriptor, from: number, targetsMax: number): string[] {
    const restored: string[] = [];
    const pointers = { base: range?.base ?? 0, name: name?.index ?? 0, rangeSet: rangeSet?.id ?? 0 };
    const view = new DataView(this.#scratch.buffer);
    if (from === 0) {
      writeDescriptor(view, 0, content, pointers, revision);
      if (this.#restoreBytes(this.#descriptorView, index * descriptorLayout.size, descriptorLayout.size))
        restored.push("descriptors");
    }
    if (from === 0 && name !== undefined) {
      this.#writeName(view, 0, name.text);
      if (this.#restoreBytes(this.#nameView, name.index * nameLayout.size, nameLayout.size)) restored.push("names");
    }
    if (range === undefined) return restored;
    const until = Math.min(range.targets.length, from + targetsMax);
    let isRestored = false;
    for (let i = from; i < until; i++) {
      writeTarget(this.#scratch, 0, range.targets, i);
      if (this.#restoreBytes(this.#backendView, (range.base + i) * backendLayout.size, backendLayout.size))
        isRestored = true;
    }
    if (isRestored) restored.push("backends");
    return restored;
  }

  // True if the bytes differed from those at the start of the scratch.
  #restoreBytes(into: DataView, at: number, size: number): boolean {
    const bytes = new Uint8Array(into.buffer, at, size);
    const wanted = this.#scratch.subarray(0, size);
    let isSame = true;
    for (let i = 0; i < size && isSame; i++) isSame = bytes[i] === wanted[i];
    if (!isSame) bytes.set(wanted);
    return !isSame;
  }

  #isReached(array: GrowingArray, end: number): boolean {
    return this.#maps.reach(array, end) === 0;
  }

  #takeRange(targets: Targets, shared: readonly Descriptor[], isFromReserve: boolean): Range | undefined {
    if (targets.length === 0) return undefined;
    for (const { range } of shared) {
      if (range !== undefined && range.targets.equals(targets)) {
        range.count++;
        return range;
      }
    }
    const base = this.#ranges.take(targets.length, isFromReserve ? 0 : this.#sizes.reserve.backends);
    if (base === undefined) return undefined;
    if (!this.#isReached("backends", base + targets.length)) {
      this.#ranges.release(base, targets.length);
      return undefined;
    }
    let at = base * backendLayout.size;
    for (let i = 0; i < targets.length; i++, at += backendLayout.size) writeTarget(this.#backendBytes, at, targets, i);
    return { base, targets, count: 1 };
  }

  #releaseRange(range: Range): void {
    if (--range.count === 0) this.#ranges.release(range.base, range.targets.length);
  }

  #takeRangeSet(prefixes: readonly Prefix[] | undefined, shared: readonly Descriptor[]): RangeSet | undefined {
    if (prefixes === undefined) return undefined;
    const same = shared.find(({ rangeSet }) => rangeSet !== undefined && isSameRanges(rangeSet.prefixes, prefixes));
    if (same?.rangeSet === undefined) return this.rangeSets.take(prefixes);
    same.rangeSet.count++;
    return same.rangeSet;
  }

  #takeName(text: string): Name | undefined {
    const known = this.#names.get(text);
    if (known !== undefined) {
      known.count++;
      return known;
    }
    const index = this.#nameIndices.take();
    if (index === undefined) return undefined;
    if (!this.#isReached("names", index + 1)) {
      this.#nameIndices.release(index);
      return undefined;
    }
    this.#writeName(this.#nameView, index * nameLayout.size, text);
    const name = { index, text, count: 1 };
    this.#names.set(text, name);
    return name;
  }

  #writeName(view: DataView, at: number, text: string): void {
    const bytes = new Uint8Array(view.buffer, at, nameLayout.size);
    bytes.fill(0);
    view.setBigUint64(at + nameLayout.id, resourceId("service", text), true);
    const { written } = this.#encoder.encodeInto(text, bytes.subarray(nameLayout.text, nameLayout.text + nameBytesMax));
    view.setUint16(at + nameLayout.length, written, true);
  }

  #releaseName(name: Name): void {
    if (--name.count > 0) return;
    this.#names.delete(name.text);
    this.#nameIndices.release(name.index);
  }
}

function writeDescriptor(
  view: DataView,
  at: number,
  content: Content,
  { base, name, rangeSet }: Pointers,
  revision: number,
): void {
  view.setUint32(at + descriptorLayout.backends_base, base, true);
  view.setUint32(at + descriptorLayout.backends_count, content.targets.length, true);
  view.setUint8(at + descriptorLayout.action, actionCodes[content.action]);
  view.setUint8(at + descriptorLayout.kind, kindCodes[content.kind]);
  view.setUint16(at + descriptorLayout.flags, 0, true);
  view.setUint32(at + descriptorLayout.affinity_seconds, content.affinitySeconds, true);
  view.setUint32(at + descriptorLayout.range_set, rangeSet, true);
  view.setUint32(at + descriptorLayout.name, name, true);
  view.setUint32(at + descriptorLayout.revision, revision % 2 ** 32, true);
  view.setUint32(at + descriptorLayout.revision + 4, Math.floor(revision / 2 ** 32), true);
}

// The port stands behind the address.
function writeTarget(bytes: Uint8Array, at: number, targets: Targets, index: number): void {
  targets.writeMapped(index, bytes, at + backendLayout.address);
  for (let i = backendLayout.flags; i < backendLayout.size; i++) bytes[at + i] = 0;
}

function isSameContent(a: Content, b: Content): boolean {
  return (
    a.action === b.action &&
    a.kind === b.kind &&
    a.scope === b.scope &&
    a.affinitySeconds === b.affinitySeconds &&
    a.servicePort === b.servicePort &&
    isSameRanges(a.sourceRanges, b.sourceRanges) &&
    a.targets.equals(b.targets)
  );
}
