/**
 * `KernelMaps` in memory, which says before and after every store and call that a reader could see the difference of. Test
 * support: whoever listens may look, or throw to end the writer right there.
 */
import { setImmediate } from "node:timers/promises";
import {
  elementKeyBytes,
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

export class MemoryMaps implements KernelMaps {
  readonly sizes: MapSizes;
  readonly arrays: MappedArrays;
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

  lookup(map: KeyedMap, key: Uint8Array): number | undefined {
    return this.#elements[map].get(hex(key));
  }

  get elementCount(): number {
    return Object.values(this.#elements).reduce((sum, { size }) => sum + size, 0);
  }

  /** From now on another writer owns the maps. */
  killWriter(): void {
    this.#writer++;
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
