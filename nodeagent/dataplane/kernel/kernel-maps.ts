/** The port between the pure writer and the maps: mapped arrays, and elements of the three maps that find a state. */
import type { MapSizes } from "./map-sizes.ts";

export type ElementMap = "frontends" | "addresses" | "cidrs";
export const elementMaps: readonly ElementMap[] = ["frontends", "addresses", "cidrs"];

/** `ranges` finds no state: its elements are sets that descriptors name. */
export type KeyedMap = ElementMap | "ranges";

/** Bytes of a key. */
export const elementKeyBytes: Readonly<Record<KeyedMap, number>> = {
  frontends: 20,
  addresses: 16,
  cidrs: 20,
  ranges: 24,
};

/** Those that grow with what is held. */
export type GrowingArray = "states" | "descriptors" | "backends" | "names";

export interface MappedArrays {
  readonly states: ArrayBufferLike;
  readonly descriptors: ArrayBufferLike;
  readonly backends: ArrayBufferLike;
  readonly names: ArrayBufferLike;
  readonly nodePorts: ArrayBufferLike;
  readonly active: ArrayBufferLike;
  readonly activations: ArrayBufferLike;
}

/** `keys` holds `indices.length` keys one after the other. */
export interface Elements {
  readonly keys: Uint8Array;
  readonly indices: Uint32Array;
}

export interface ElementsPart extends Elements {
  /** Undefined: that was the last part. */
  readonly position: Uint8Array | undefined;
}

export interface KernelMaps {
  readonly sizes: MapSizes;
  /** Of growing arrays only what was reached, once `trim` was called. */
  readonly arrays: MappedArrays;
  /** Before entries below `end` are first written, and for those that were taken over. 0, or the errno. */
  reach(array: GrowingArray, end: number): number;
  /** Gives back the memory of entries that were not reached. */
  trim(): void;
  /** All can be read meanwhile, also what somebody else wrote where nothing was reached. @throws KernelError if it cannot be mapped */
  whole<T>(read: (arrays: MappedArrays) => T): T;
  /** 0, or the errno that the kernel gave. Never overwrites. */
  insert(map: KeyedMap, key: Uint8Array, index: number): number;
  /** The same, but what is there stays: then EEXIST. */
  insertAbsent(map: KeyedMap, key: Uint8Array, index: number): number;
  /** One that is not there is fine. */
  remove(map: KeyedMap, key: Uint8Array): void;
  elements(map: KeyedMap): Elements;
  /** Some of them, beginning behind `position`; undefined: at the start. What changes meanwhile may be seen or not. */
  elementsPart(map: KeyedMap, position: Uint8Array | undefined): ElementsPart;
  /** Undefined: there is no such element. */
  lookup(map: KeyedMap, key: Uint8Array): number | undefined;
  /** Resolves when no program runs any more that ran at the call. */
  grace(): Promise<void>;
}
