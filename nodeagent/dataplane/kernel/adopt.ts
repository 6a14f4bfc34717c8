/**
 * Taking over maps that an agent left, at whatever instruction it ended (DESIGN 6.2, "Adopting"). The order matters: first
 * nothing is pending any more, then no element leads to what is absent, then the rest is what a reader could choose. Pure.
 */
import { epoch, revision, type Cursor } from "@weft/proto/cursor.ts";
import type { Address, Prefix } from "@weft/proto/address.ts";
import { frontendKey, serviceOf, type Frontend } from "../../plan/frontend.ts";
import { readAddress } from "./address-codec.ts";
import type { AdoptedDescriptor } from "./descriptor-store.ts";
import { addressElement, cidrElement, readPrefix, readRangeSets, stateKeyOf, type ElementKey } from "./element-key.ts";
import { elementKeyBytes, elementMaps, type KernelMaps } from "./kernel-maps.ts";
import { activationLayout, activationsMax, dropDescriptor, passDescriptor, rejectDescriptor } from "./layout.ts";
import { MapReader } from "./map-reader.ts";
import { StateTable, type StoreWord } from "./state-table.ts";

export interface AdoptedState {
  readonly index: number;
  readonly element: ElementKey;
  readonly descriptor: number;
  /** Of an element of `frontends` with a service port. */
  readonly frontend: Frontend | undefined;
  /** "": unknown. */
  readonly service: string;
}

export interface AdoptedMaps {
  /** Undefined: nothing was ever activated. */
  readonly cursor: Cursor | undefined;
  readonly states: readonly AdoptedState[];
  readonly descriptors: readonly AdoptedDescriptor[];
  /** All that there are, by id. */
  readonly rangeSets: ReadonlyMap<number, readonly Prefix[]>;
}

/** What else than frontends may lead to. */
const fixedOf: Readonly<Record<"addresses" | "cidrs", readonly number[]>> = {
  addresses: [rejectDescriptor, passDescriptor],
  cidrs: [dropDescriptor],
};

/** Afterwards one grace must pass before any slot is given out. */
export function adoptMaps(maps: KernelMaps, store: StoreWord = Atomics.store): AdoptedMaps {
  const table = new StateTable(maps.arrays.states, store);
  const active = new BigInt64Array(maps.arrays.active, 0, 1)[0] ?? 0n;
  table.rollbackAll(active);
  const rangeSets = readRangeSets(maps.elements("ranges").keys);
  const reader = new MapReader(maps.arrays, rangeSets);
  const states: AdoptedState[] = [];
  const descriptors = new Map<number, AdoptedDescriptor>();
  for (const map of elementMaps) {
    const { keys, indices } = maps.elements(map);
    for (let i = 0; i < indices.length; i++) {
      const bytes = keys.slice(i * elementKeyBytes[map], (i + 1) * elementKeyBytes[map]);
      const index = indices[i] ?? 0;
      const state = adoptElement(map, bytes, index);
      if (state === undefined) maps.remove(map, bytes);
      else states.push(state);
    }
  }
  const cursor = liveCursor(maps.arrays.activations, active);
  return { cursor, states, descriptors: [...descriptors.values()], rangeSets };

  function adoptElement(map: (typeof elementMaps)[number], bytes: Uint8Array, index: number): AdoptedState | undefined {
    if (index >= table.size) return undefined;
    const wanted = stateKeyOf(map, bytes);
    if (!isSameBytes(table.key(index), wanted.key) || table.length(index) !== wanted.length) return undefined;
    const descriptor = table.chosen(index, active);
    if (descriptor === 0) return undefined;
    if (map !== "frontends") {
      const address: Address = readAddress(wanted.key, 0);
      if (!fixedOf[map].includes(descriptor)) return undefined;
      const element =
        map === "addresses" ? addressElement(address) : cidrElement(readPrefix(wanted.key, wanted.length));
      return { index, element, descriptor, frontend: undefined, service: "" };
    }
    const frontend = reader.frontend(bytes, descriptor);
    if (frontend === undefined) return undefined;
    // As `frontendElement` would make it.
    const element: ElementKey = { map, text: frontendKey(frontend), bytes, stateKey: bytes, stateLength: 0 };
    if (descriptor === rejectDescriptor) return { index, element, descriptor, frontend: undefined, service: "" };
    // We name every descriptor but the fixed ones: somebody else wrote this one.
    if (frontend.servicePort === "") return undefined;
    if (!descriptors.has(descriptor)) {
      descriptors.set(descriptor, {
        index: descriptor,
        content: frontend,
        revision: reader.revision(descriptor),
        ...reader.pointers(descriptor),
      });
    }
    return { index, element, descriptor, frontend, service: serviceOf(frontend.servicePort) };
  }
}

/** Undefined if nothing was activated, or its place in the ring holds another sequence. */
export function liveCursor(activations: ArrayBufferLike, active: bigint): Cursor | undefined {
  if (active === 0n) return undefined;
  const view = new DataView(activations);
  const at = Number(active % BigInt(activationsMax)) * activationLayout.size;
  if (view.getBigUint64(at + activationLayout.sequence, true) !== active) return undefined;
  return {
    epoch: epoch(
      view.getBigUint64(at + activationLayout.epoch_ms, true),
      view.getUint32(at + activationLayout.epoch_random, true),
    ),
    revision: revision(view.getBigUint64(at + activationLayout.revision, true)),
  };
}

function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}
