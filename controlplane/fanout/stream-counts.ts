/** How many streams there are of a connection and of a certificate. */

export class StreamCounts {
  readonly #counts = new Map<string, number>();
  readonly #perConnectionMax: number;
  readonly #perNodeMax: number;

  constructor(perConnectionMax: number, perNodeMax: number) {
    this.#perConnectionMax = perConnectionMax;
    this.#perNodeMax = perNodeMax;
  }

  /** @param keys `peer IP:PORT`, `node NAME`. Returns the one that is over its limit, if one is. */
  enter(keys: readonly string[]): string | undefined {
    let over: string | undefined;
    for (const key of keys) {
      const count = (this.#counts.get(key) ?? 0) + 1;
      this.#counts.set(key, count);
      if (count > (key.startsWith("peer ") ? this.#perConnectionMax : this.#perNodeMax)) over = key;
    }
    return over;
  }

  leave(keys: readonly string[]): void {
    for (const key of keys) {
      const count = (this.#counts.get(key) ?? 0) - 1;
      if (count > 0) this.#counts.set(key, count);
      else this.#counts.delete(key);
    }
  }
}
