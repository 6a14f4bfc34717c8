/**
 * Contiguous ranges of an array map: first fit over holes ordered by base, neighbours merged. Low bases are preferred, so
 * that long holes stay at the end. Pure.
 */
export class RangeAllocator {
  readonly #bases: number[];
  readonly #counts: number[];
  #available: number;

  constructor(size: number) {
    this.#bases = [0];
    this.#counts = [size];
    this.#available = size;
  }

  get available(): number {
    return this.#available;
  }

  /** Base of `count` free slots; undefined if there is no such hole or fewer than `spare` would be left. */
  take(count: number, spare = 0): number | undefined {
    if (this.#available - count < spare) return undefined;
    const hole = this.#counts.findIndex((free) => free >= count);
    if (hole < 0) return undefined;
    const base = this.#bases[hole] ?? 0;
    this.#cut(hole, base, count);
    return base;
  }

  /** These are in use. False, and nothing changed, if one of them is already. */
  adopt(base: number, count: number): boolean {
    const hole = this.#holeBefore(base);
    const start = this.#bases[hole];
    const free = this.#counts[hole];
    if (start === undefined || free === undefined || base + count > start + free) return false;
    const tail = start + free - base - count;
    this.#counts[hole] = base - start;
    if (tail > 0) {
      this.#bases.splice(hole + 1, 0, base + count);
      this.#counts.splice(hole + 1, 0, tail);
    }
    if (base === start) {
      this.#bases.splice(hole, 1);
      this.#counts.splice(hole, 1);
    }
    this.#available -= count;
    return true;
  }

  release(base: number, count: number): void {
    const before = this.#holeBefore(base);
    const joinsBefore = before >= 0 && (this.#bases[before] ?? 0) + (this.#counts[before] ?? 0) === base;
    const joinsAfter = this.#bases[before + 1] === base + count;
    this.#available += count;
    if (joinsBefore) {
      this.#counts[before] = (this.#counts[before] ?? 0) + count + (joinsAfter ? (this.#counts[before + 1] ?? 0) : 0);
      if (joinsAfter) {
        this.#bases.splice(before + 1, 1);
        this.#counts.splice(before + 1, 1);
      }
    } else if (joinsAfter) {
      this.#bases[before + 1] = base;
      this.#counts[before + 1] = (this.#counts[before + 1] ?? 0) + count;
    } else {
      this.#bases.splice(before + 1, 0, base);
      this.#counts.splice(before + 1, 0, count);
    }
  }

  #cut(hole: number, base: number, count: number): void {
    this.#available -= count;
    const left = (this.#counts[hole] ?? 0) - count;
    if (left > 0) {
      this.#bases[hole] = base + count;
      this.#counts[hole] = left;
    } else {
      this.#bases.splice(hole, 1);
      this.#counts.splice(hole, 1);
    }
  }

  // The last hole that starts at or before `base`; -1: none.
  #holeBefore(base: number): number {
    let low = 0;
    let high = this.#bases.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#bases[middle] ?? 0) <= base) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
