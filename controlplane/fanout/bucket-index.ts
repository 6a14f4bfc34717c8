/** The resources of one bucket, found by the words of an id. Made of our resources, so that no agent can choose what collides. Pure. */
import type { CompiledResource } from "../catalog/resource.ts";
import { wordsPerHash } from "./reported-digests.ts";
import type { HashWords } from "./reported-digests.ts";

export class BucketIndex {
  // Of each resource in order.
  readonly #words: HashWords;
  // A place in `words` and one, or 0; the next slot is tried where one is taken. At least half are free.
  readonly #slots: Uint32Array;

  constructor(resources: readonly CompiledResource[]) {
    const words = new Int32Array(resources.length * wordsPerHash);
    this.#words = words;
    const ids = new BigUint64Array(words.buffer);
    const slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * resources.length + 1)));
    this.#slots = slots;
    const mask = slots.length - 1;
    for (const [i, { id, hash }] of resources.entries()) {
      ids[2 * i] = id;
      words[4 * i + 2] = hash.low | 0;
      words[4 * i + 3] = hash.high | 0;
      let slot = this.#slotOf(words[4 * i] ?? 0, words[4 * i + 1] ?? 0);
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = i + 1;
    }
  }

  isAt(place: number, low: number, high: number): boolean {
    const words = this.#words;
    return words[place * wordsPerHash] === low && words[place * wordsPerHash + 1] === high;
  }

  isHash(place: number, low: number, high: number): boolean {
    const words = this.#words;
    return words[place * wordsPerHash + 2] === low && words[place * wordsPerHash + 3] === high;
  }

  /** Place of the resource with this id; undefined: there is none. */
  find(low: number, high: number): number | undefined {
    const slots = this.#slots;
    for (let slot = this.#slotOf(low, high); ; slot = (slot + 1) & (slots.length - 1)) {
      const place = (slots[slot] ?? 0) - 1;
      if (place < 0) return undefined;
      if (this.isAt(place, low, high)) return place;
    }
  }

  // The low 10 bits are those of the bucket.
  #slotOf(low: number, high: number): number {
    return ((low >>> 10) ^ high) & (this.#slots.length - 1);
  }
}
