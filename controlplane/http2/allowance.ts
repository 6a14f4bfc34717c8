/** How often something may happen: what is saved, and so much more with each second. */
export class Allowance {
  readonly #max: number;
  readonly #perSecond: number;
  #left: number;
  // When time was last turned into more.
  #sinceMs: number;

  constructor(max: number, perSecond: number, nowMs: number) {
    this.#max = max;
    this.#perSecond = perSecond;
    this.#left = max;
    this.#sinceMs = nowMs;
  }

  /** The clock is asked only where nothing is left. @returns false: it is once too often. */
  take(now: () => number): boolean {
    if (this.#left < 1) {
      const nowMs = now();
      this.#left = Math.min(this.#max, this.#left + ((nowMs - this.#sinceMs) / 1_000) * this.#perSecond);
      this.#sinceMs = nowMs;
    }
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  earn(more: number): void {
    this.#left = Math.min(this.#max, this.#left + more);
  }
}
