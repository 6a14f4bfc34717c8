/**
 * `KernelMaps` in memory, which says before and after every store and call that a reader could see the difference of. Test
 * support: whoever listens may look, or throw to end the writer right there.
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import {
  elementKeyBytes,
  type GrowingArray,
  type KeyedMap,
  type Elements,
  type ElementsPart,
  type KernelMaps,
  type MappedArrays,
} from "../kernel-maps.ts";
import {
  activationLayout,
  backendLayout,
  descriptorLayout,
  nameLayout,
  nodePortLayout,
  portsMax,
  rangesMax,
  stateLayout,
} from "../layout.ts";
import { mapSizes, type KernelLimits, type MapSizes } from "../map-sizes.ts";
import type { StoreWord } from "../state-table.ts";

const nothingReached = { states: 0, descriptors: 0, backends: 0, names: 0 } as const;
const growingArrays = ["states", "descriptors", "backends", "names"] as const;
const entryBytes: Readonly<Record<GrowingArray, number>> = {
  states: stateLayout.size,
  descriptors: descriptorLayout.size,
  backends: backendLayout.size,
  names: nameLayout.size,
};

export class MemoryMaps implements KernelMaps {
  readonly sizes: MapSizes;
  readonly arrays: MappedArrays;
  #reached: Record<GrowingArray, number> = { ...nothingReached };
  /** Bytes of what was not reached, as they were at the last `trim`. */
  #unreached: Partial<Record<GrowingArray, Uint8Array>> = {};
  readonly #elements: Readonly<Record<KeyedMap, Map<string, number>>> = {
    frontends: new Map(),
    addresses: new Map(),
    cidrs: new Map(),
    ranges: new Map(),
  };
  #writer = 0;
  /** Called at every step. */
  onStep: () => void = () => undefined;
  /** Called for a grace: whoever reads now must end. */
  onGrace: () => void = () => undefined;

  constructor(limits: KernelLimits) {
    this.sizes = mapSizes(limits);
    this.arrays = {
      states: new ArrayBuffer(this.sizes.states * stateLayout.size),
      descriptors: new ArrayBuffer(this.sizes.descriptors * descriptorLayout.size),
      backends: new ArrayBuffer(this.sizes.backends * backendLayout.size),
      names: new ArrayBuffer(this.sizes.names * nameLayout.size),
      nodePorts: new ArrayBuffer(2 * portsMax * nodePortLayout.size),
      active: new ArrayBuffer(8),
      activations: new ArrayBuffer(this.sizes.activations * activationLayout.size),
    };
  }

  readonly store: StoreWord = (words, index, value) => {
    this.onStep();
    words[index] = value;
    this.onStep();
  };

  get active(): bigint {
    return new BigInt64Array(this.arrays.active)[0] ?? 0n;
  }

  insert(map: KeyedMap, key: Uint8Array, index: number): number {
    this.onStep();
    const elements = this.#elements[map];
    const text = hex(key);
    const max = { ...this.sizes, ranges: rangesMax }[map];
    if (elements.has(text)) return 17;
    if (elements.size >= max) return 7;
    elements.set(text, index);
    this.onStep();
    return 0;
  }

  insertAbsent(map: KeyedMap, key: Uint8Array, index: number): number {
    return this.insert(map, key, index);
  }

  remove(map: KeyedMap, key: Uint8Array): void {
    this.onStep();
    this.#elements[map].delete(hex(key));
    this.onStep();
  }

  elements(map: KeyedMap): Elements {
    const elements = this.#elements[map];
    const keys = new Uint8Array(elements.size * elementKeyBytes[map]);
    let at = 0;
    for (const text of elements.keys()) keys.set(Buffer.from(text, "hex"), elementKeyBytes[map] * at++);
    return { keys, indices: Uint32Array.from(elements.values()) };
  }

  /** One by one. */
  elementsPart(map: KeyedMap, position: Uint8Array | undefined): ElementsPart {
    const { keys, indices } = this.elements(map);
    const at = position?.[0] ?? 0;
    const bytes = elementKeyBytes[map];
    return {
      keys: keys.subarray(at * bytes, (at + 1) * bytes),
      indices: indices.subarray(at, at + 1),
      position: at + 1 < indices.length ? Uint8Array.of(at + 1) : undefined,
    };
  }

  reach(array: GrowingArray, end: number): number {
    this.#reached[array] = Math.max(this.#reached[array], end * entryBytes[array]);
    return 0;
  }

  trim(): void {
    for (const array of growingArrays) this.#unreached[array] = new Uint8Array(this.arrays[array]).slice();
  }

  whole<T>(read: (arrays: MappedArrays) => T): T {
    return read(this.arrays);
  }

  /** In a kernel's arrays such a write would have ended the process. */
  checkReached(): void {
    for (const array of growingArrays) {
      const from = this.#reached[array];
      const before = this.#unreached[array]?.subarray(from);
      if (before === undefined) continue;
      assert.ok(
        Buffer.compare(new Uint8Array(this.arrays[array], from), before) === 0,
        `${array} beyond what was reached`,
      );
    }
  }

  lookup(map: KeyedMap, key: Uint8Array): number | undefined {
    return this.#elements[map].get(hex(key));
  }

  get elementCount(): number {
    return Object.values(this.#elements).reduce((sum, { size }) => sum + size, 0);
  }

  /** From now on another writer owns the maps. */
  killWriter(): void {
    this.#writer++;
    this.#reached = { ...nothingReached };
    this.#unreached = {};
  }

  async grace(): Promise<void> {
    this.onStep();
    const writer = this.#writer;
    // Longer than a round that does not wait for it.
    await setImmediate();
    // A writer that was killed meanwhile does nothing any more.
    if (writer !== this.#writer) return new Promise(() => undefined);
    this.onGrace();
    this.onStep();
    return undefined;
  }
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString("hex");
}

/** `maps`, but for what `other` does in its place: a kernel that refuses some calls. */
export function mapsBut(maps: KernelMaps, other: Partial<KernelMaps>): KernelMaps {
  return {
    sizes: maps.sizes,
    arrays: maps.arrays,
    insert: (map, key, index) => maps.insert(map, key, index),
    remove: (map, key) => maps.remove(map, key),
    elements: (map) => maps.elements(map),
    insertAbsent: (map, key, index) => maps.insertAbsent(map, key, index),
    elementsPart: (map, position) => maps.elementsPart(map, position),
    lookup: (map, key) => maps.lookup(map, key),
    reach: (array, end) => maps.reach(array, end),
    trim: () => maps.trim(),
    whole: (read) => maps.whole(read),
    grace: () => maps.grace(),
    ...other,
  };
}
