/** Reads the elements of maps with 4-byte values: all, or a part at a time. */
import { errnos, KernelError, lookupBatch, lookupElement, nextKey } from "./libbpf.ts";

/** Keys one after the other, and a 4-byte value of each. */
export interface MapElements {
  readonly keys: Uint8Array;
  readonly indices: Uint32Array;
}

export interface MapElementsPart extends MapElements {
  /** Undefined: that was the last part. */
  readonly position: Uint8Array | undefined;
}

/** All elements of a map with 4-byte values. A hash map is read in batches, an LPM map key by key. */
export function allElements(fd: number, keyBytes: number, isHash: boolean): MapElements {
  const keys: Uint8Array[] = [];
  const indices: number[] = [];
  let position: Uint8Array | undefined;
  do {
    const part = elementsPart(fd, keyBytes, isHash, position, 16_384);
    keys.push(part.keys);
    for (const index of part.indices) indices.push(index);
    ({ position } = part);
  } while (position !== undefined);
  return { keys: joinBytes(keys), indices: Uint32Array.from(indices) };
}

/** About `max` of them from `position` on. */
export function elementsPart(
  fd: number,
  keyBytes: number,
  isHash: boolean,
  position: Uint8Array | undefined,
  max: number,
): MapElementsPart {
  return isHash ? readBatch(fd, keyBytes, position, max) : readKeys(fd, keyBytes, position, max);
}

function readBatch(fd: number, keyBytes: number, position: Uint8Array | undefined, max: number): MapElementsPart {
  const next = new Uint8Array(8);
  const keys = new Uint8Array(max * keyBytes);
  const indices = new Uint32Array(max);
  const count = [max];
  const errno = lookupBatch(fd, position ?? null, next, keys, indices, count);
  // One bucket of the hash holds more.
  if (errno === errnos.ENOSPC) return readBatch(fd, keyBytes, position, max * 2);
  if (errno !== 0 && errno !== errnos.ENOENT) throw new KernelError(errno, "read the elements of a map");
  const read = count[0] ?? 0;
  return {
    keys: keys.subarray(0, read * keyBytes),
    indices: indices.subarray(0, read),
    position: errno === errnos.ENOENT ? undefined : next,
  };
}

function readKeys(fd: number, keyBytes: number, position: Uint8Array | undefined, max: number): MapElementsPart {
  const keys: Uint8Array[] = [];
  const indices: number[] = [];
  const value = new Uint32Array(1);
  let last = position;
  while (keys.length < max) {
    const key = new Uint8Array(keyBytes);
    if (!nextKey(fd, last ?? null, key))
      return { keys: joinBytes(keys), indices: Uint32Array.from(indices), position: undefined };
    if (lookupElement(fd, key, new Uint8Array(value.buffer))) {
      keys.push(key);
      indices.push(value[0] ?? 0);
    }
    last = key;
  }
  return { keys: joinBytes(keys), indices: Uint32Array.from(indices), position: last };
}

function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
