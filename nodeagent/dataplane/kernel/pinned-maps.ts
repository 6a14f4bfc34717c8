/** `KernelMaps` on real maps. */
import path from "node:path";
import {
  createInnerMap,
  errnos,
  getPinned,
  KernelError,
  lookupElement,
  mapMaxEntries,
  mapMemory,
  removeElement,
  updateElement,
  updateElementAsync,
} from "./libbpf.ts";
import type { LoadedObject } from "./libbpf.ts";
import { allElements, elementsPart } from "./map-elements.ts";
import {
  elementKeyBytes,
  type Elements,
  type GrowingArray,
  type KernelMaps,
  type KeyedMap,
  type MappedArrays,
} from "./kernel-maps.ts";
import {
  activationLayout,
  backendLayout,
  descriptorLayout,
  nameLayout,
  nodePortLayout,
  portsMax,
  stateLayout,
} from "./layout.ts";
import { MappedArray } from "./mapped-array.ts";
import type { MapSizes } from "./map-sizes.ts";

const entryBytes = {
  states: stateLayout.size,
  descriptors: descriptorLayout.size,
  backends: backendLayout.size,
  names: nameLayout.size,
  node_ports: nodePortLayout.size,
  active: 8,
  activations: activationLayout.size,
} as const;

/** Read at once by an audit: 0.1 ms. */
const partElements = 128;

/** Of a loaded object, to write. */
export function openMaps(object: LoadedObject, sizes: MapSizes): KernelMaps {
  const fds = {
    frontends: object.mapFd("frontends"),
    addresses: object.mapFd("addresses"),
    cidrs: object.mapFd("cidrs"),
    ranges: object.mapFd("ranges"),
  };
  const gracesFd = object.mapFd("graces");
  const inner = new Uint8Array(Uint32Array.of(createInnerMap()).buffer);
  const zero = new Uint8Array(4);
  const value = new Uint32Array(1);
  const valueBytes = new Uint8Array(value.buffer);
  const found = new Uint32Array(1);
  const foundBytes = new Uint8Array(found.buffer);
  const growing = {
    states: growingArray(object, sizes, "states"),
    descriptors: growingArray(object, sizes, "descriptors"),
    backends: growingArray(object, sizes, "backends"),
    names: growingArray(object, sizes, "names"),
  };
  const arrays = {
    states: growing.states.memory,
    descriptors: growing.descriptors.memory,
    backends: growing.backends.memory,
    names: growing.names.memory,
    nodePorts: mapMemory(object.mapFd("node_ports"), 2 * portsMax * entryBytes.node_ports, true),
    active: mapMemory(object.mapFd("active"), entryBytes.active, true),
    activations: mapMemory(object.mapFd("activations"), sizes.activations * entryBytes.activations, true),
  };
  const scratch = {
    frontends: new Uint8Array(elementKeyBytes.frontends),
    addresses: new Uint8Array(elementKeyBytes.addresses),
    cidrs: new Uint8Array(elementKeyBytes.cidrs),
    ranges: new Uint8Array(elementKeyBytes.ranges),
  };
  // Bytes that went through a C call are kept outside of the heap from then on: 150 bytes more for each key that is held.
  const copyOf = (map: KeyedMap, key: Uint8Array): Uint8Array => {
    scratch[map].set(key);
    return scratch[map];
  };
  const trim = (): void => {
    for (const array of Object.values(growing)) array.trim();
  };
  return {
    sizes,
    arrays,
    reach: (array, end) => growing[array].reach(end * entryBytes[array]),
    trim,
    whole(read) {
      try {
        for (const array of Object.values(growing)) array.mapAll();
        return read(arrays);
      } finally {
        trim();
      }
    },
    insert(map, key, index) {
      value[0] = index;
      const copy = copyOf(map, key);
      const errno = updateElement(fds[map], copy, valueBytes, 1);
      if (errno !== errnos.EEXIST) return errno;
      // Not of ours: we insert only what we know to be absent.
      removeElement(fds[map], copy);
      return updateElement(fds[map], copy, valueBytes, 1);
    },
    insertAbsent(map, key, index) {
      value[0] = index;
      return updateElement(fds[map], copyOf(map, key), valueBytes, 1);
    },
    remove(map, key) {
      const errno = removeElement(fds[map], copyOf(map, key));
      if (errno !== 0 && errno !== errnos.ENOENT) throw new KernelError(errno, `remove an element of ${map}`);
    },
    elements: (map) => allElements(fds[map], elementKeyBytes[map], isHash(map)),
    elementsPart: (map, position) => elementsPart(fds[map], elementKeyBytes[map], isHash(map), position, partElements),
    lookup: (map, key) => (lookupElement(fds[map], copyOf(map, key), foundBytes) ? found[0] : undefined),
    grace: () => updateElementAsync(gracesFd, zero, inner),
  };
}

/** What a reader of pins needs. */
export interface PinnedMaps {
  readonly arrays: MappedArrays;
  elements(map: KeyedMap): Elements;
}

/** Of a folder of pins, to read. Undefined if one of the maps is missing. */
export function openPinnedMaps(folder: string): PinnedMaps | undefined {
  const fds = new Map<string, number>();
  for (const name of [...Object.keys(entryBytes), "frontends", "addresses", "cidrs", "ranges"]) {
    const fd = getPinned(path.join(folder, name));
    if (fd === undefined) return undefined;
    fds.set(name, fd);
  }
  const fdOf = (name: string): number => fds.get(name) ?? -1;
  const sizes = {
    states: mapMaxEntries(fdOf("states")),
    descriptors: mapMaxEntries(fdOf("descriptors")),
    backends: mapMaxEntries(fdOf("backends")),
    names: mapMaxEntries(fdOf("names")),
    node_ports: 2 * portsMax,
    active: 1,
    activations: mapMaxEntries(fdOf("activations")),
  };
  return {
    arrays: mapArrays(fdOf, sizes),
    elements: (map) => allElements(fdOf(map), elementKeyBytes[map], isHash(map)),
  };
}

function isHash(map: KeyedMap): boolean {
  return map === "frontends" || map === "addresses";
}

type ArraySizes = Readonly<Record<keyof typeof entryBytes, number>>;

function growingArray(object: LoadedObject, sizes: MapSizes, name: GrowingArray): MappedArray {
  return new MappedArray(object.mapFd(name), sizes[name] * entryBytes[name]);
}

function mapArrays(fdOf: (name: string) => number, sizes: ArraySizes): MappedArrays {
  const memory = (name: keyof typeof entryBytes): ArrayBuffer =>
    mapMemory(fdOf(name), sizes[name] * entryBytes[name], false);
  return {
    states: memory("states"),
    descriptors: memory("descriptors"),
    backends: memory("backends"),
    names: memory("names"),
    nodePorts: memory("node_ports"),
    active: memory("active"),
    activations: memory("activations"),
  };
}
