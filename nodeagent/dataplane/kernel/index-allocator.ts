/** Free slots of an array map. Pure. */
export class IndexAllocator {
  readonly #end: number;
  readonly #free: number[] = [];
  /** From here on no index was ever taken. */
  #next: number;
  #taken = 0;

  /** Gives out indices from `first` to `end` - 1. */
  constructor(first: number, end: number) {
    this.#next = first;
    this.#end = end;
  }

  get taken(): number {
    return this.#taken;
  }

  get available(): number {
    return this.#free.length + this.#end - this.#next;
  }

  /** Undefined if fewer than `spare` + 1 are free. */
  take(spare = 0): number | undefined {
    if (this.available <= spare) return undefined;
    this.#taken++;
    return this.#free.pop() ?? this.#next++;
  }

  release(index: number): void {
    this.#taken--;
    this.#free.push(index);
  }

  /** Once, before the first `take`: these are in use. Returns false, and changes nothing, if one is out of range or named twice. */
  adopt(indices: Iterable<number>): boolean {
    const used = new Set<number>();
    for (const index of indices) {
      if (index < this.#next || index >= this.#end || used.has(index)) return false;
      used.add(index);
    }
    let highest = this.#next - 1;
    for (const index of used) if (index > highest) highest = index;
    for (let index = highest; index >= this.#next; index--) if (!used.has(index)) this.#free.push(index);
    this.#next = highest + 1;
    this.#taken = used.size;
    return true;
  }
}
