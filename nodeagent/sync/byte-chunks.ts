/**
 * Bytes of many small values in few buffers, outside of the heap that V8 collects. Only appended to: what was read once stays as it is
 * for whoever holds a copy of the list, also while the owner moves what is left into new chunks. Pure.
 */
export interface ByteChunk {
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** A place is `chunk << chunkBits | start`: 4 GiB in all. */
const chunkBits = 20;
const chunkBytes = 1 << chunkBits;

export class ByteChunks {
  #chunks: ByteChunk[] = [];
  // Where the next value goes, and how much of its chunk is left.
  #next = 0;
  #left = 0;

  /** Those of a copy share what was written until now. */
  copy(): ByteChunks {
    const copy = new ByteChunks();
    copy.#chunks = [...this.#chunks];
    return copy;
  }

  chunkOf(place: number): ByteChunk {
    const chunk = this.#chunks[place >>> chunkBits];
    if (chunk === undefined) throw new RangeError(`no chunk at ${place}`);
    return chunk;
  }

  /** Room for `length` bytes, which the caller writes once. */
  take(length: number): number {
    if (length > this.#left || this.#left === 0) this.#grow(length);
    const place = this.#next;
    this.#next += length;
    this.#left -= length;
    return place;
  }

  // A value larger than a chunk has one of its own, under several numbers: only its start can be named.
  #grow(length: number): void {
    const count = Math.max(1, Math.ceil(length / chunkBytes));
    if (this.#chunks.length + count > 2 ** (32 - chunkBits)) throw new RangeError("more than 4 GiB of resources");
    const bytes = Buffer.allocUnsafeSlow(Math.max(length, chunkBytes));
    const chunk = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
    this.#next = this.#chunks.length * chunkBytes;
    this.#left = bytes.length;
    for (let i = 0; i < count; i++) this.#chunks.push(chunk);
  }
}

/** Offset of a place in its chunk. */
export function startOf(place: number): number {
  return place & (chunkBytes - 1);
}
