/** Slots by 64-bit id: open addressing over typed arrays, 16 to 24 bytes an id. A Map of bigints takes 80 and five times as long. Pure. */
import type { ResourceId } from "@weft/proto/ids.ts";

export const noSlot = -1;

export class IdTable {
  #size = 0;
  /** Of each slot: low half, high half. Zero: not listed, since no id is. */
  #ids = new Uint32Array();
  // Slot + 1, 0 where there is none. Its length is a power of two, and it is at most half full, so a search ends soon.
  #table = new Int32Array(8);

  get size(): number {
    return this.#size;
  }

  /** -1: not listed. */
  find(low: number, high: number): number {
    const mask = this.#table.length - 1;
    for (let at = (low ^ high) & mask; ; at = (at + 1) & mask) {
      const slot = (this.#table[at] ?? 0) - 1;
      if (slot < 0) return noSlot;
      if (this.#ids[slot * 2] === low && this.#ids[slot * 2 + 1] === high) return slot;
    }
  }

  isListed(slot: number): boolean {
    return (this.#ids[slot * 2] ?? 0) !== 0 || (this.#ids[slot * 2 + 1] ?? 0) !== 0;
  }

  low(slot: number): number {
    return this.#ids[slot * 2] ?? 0;
  }

  id(slot: number): ResourceId {
    return ((BigInt(this.#ids[slot * 2 + 1] ?? 0) << 32n) | BigInt(this.#ids[slot * 2] ?? 0)) as ResourceId;
  }

  /** Neither may be listed. */
  add(slot: number, low: number, high: number): void {
    if (slot * 2 >= this.#ids.length) {
      const ids = new Uint32Array(grown(slot + 1) * 2);
      ids.set(this.#ids);
      this.#ids = ids;
    }
    this.#ids[slot * 2] = low;
    this.#ids[slot * 2 + 1] = high;
    this.#size++;
    if (this.#size * 2 > this.#table.length) this.#rebuild();
    else this.#place(slot);
  }

  remove(slot: number): void {
    const mask = this.#table.length - 1;
    let hole = this.#home(slot);
    while (this.#table[hole] !== slot + 1) hole = (hole + 1) & mask;
    // What stands behind the hole moves up, unless it would then stand before its home.
    for (let at = (hole + 1) & mask; this.#table[at] !== 0; at = (at + 1) & mask) {
      const home = this.#home((this.#table[at] ?? 0) - 1);
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      this.#table[hole] = this.#table[at] ?? 0;
      hole = at;
    }
    this.#table[hole] = 0;
    this.#ids[slot * 2] = 0;
    this.#ids[slot * 2 + 1] = 0;
    this.#size--;
  }

  /** Makes room for this many before the first is added. */
  reserve(count: number): void {
    this.#ids = new Uint32Array(count * 2);
    let size = this.#table.length;
    while (size < count * 2) size *= 2;
    this.#table = new Int32Array(size);
  }

  /** Ids of slots below `end`, to be read while this changes. */
  copy(end: number): IdTable {
    const copy = new IdTable();
    copy.#ids = this.#ids.slice(0, end * 2);
    return copy;
  }

  #rebuild(): void {
    this.#table = new Int32Array(this.#table.length * 2);
    for (let slot = 0; slot * 2 < this.#ids.length; slot++) if (this.isListed(slot)) this.#place(slot);
  }

  #place(slot: number): void {
    const mask = this.#table.length - 1;
    let at = this.#home(slot);
    while (this.#table[at] !== 0) at = (at + 1) & mask;
    this.#table[at] = slot + 1;
  }

  #home(slot: number): number {
    return ((this.#ids[slot * 2] ?? 0) ^ (this.#ids[slot * 2 + 1] ?? 0)) & (this.#table.length - 1);
  }
}

/** Slots to make room for when `needed` do not fit. */
export function grown(needed: number): number {
  return Math.max(1_024, Math.ceil(needed * 1.5));
}

/** Low 32 bits. */
export function lowOf(id: ResourceId): number {
  return Number(id & 0xffff_ffffn);
}

/** High 32 bits. */
export function highOf(id: ResourceId): number {
  return Number(id >> 32n);
}
