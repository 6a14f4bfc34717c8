/**
 * Encoded bytes that are kept in hundreds of thousands, as a string of code units 0 to 255: the smallest immutable value of V8.
 * 60 bytes cost 80 so; as a Uint8Array 270, and above 64 bytes an allocation outside the heap. Equality is `===`, and it can be a key.
 */

export type PackedBytes = string & { readonly brand: "PackedBytes" };

/** The bytes from `start` to `end`. */
export function packBytes(bytes: Uint8Array, start = 0, end = bytes.length): PackedBytes {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1") as PackedBytes;
}

/** Writes them into `target` from `at` on. */
export function copyPacked(packed: PackedBytes, target: Uint8Array, at: number): void {
  for (let i = 0; i < packed.length; i++) target[at + i] = packed.charCodeAt(i);
}
