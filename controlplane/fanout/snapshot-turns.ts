/** Turns for snapshots: so many at a time, the rest in order of asking. */
export class SnapshotTurns<T> {
  readonly #turnsMax: number;
  readonly #granted = new Set<T>();
  readonly #waiting = new Set<T>();

  constructor(turnsMax: number) {
    this.#turnsMax = turnsMax;
  }

  get granted(): number {
    return this.#granted.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  request(of: T): void {
    if (!this.#granted.has(of)) this.#waiting.add(of);
  }

  /** Gives back a turn, or the place in the queue. */
  release(of: T): void {
    this.#granted.delete(of);
    this.#waiting.delete(of);
  }

  /** Who goes next, at most `countMax`; each holds a turn from now on. */
  grant(countMax: number): T[] {
    const next: T[] = [];
    for (const of of this.#waiting) {
      if (this.#granted.size >= this.#turnsMax || next.length >= countMax) break;
      this.#waiting.delete(of);
      this.#granted.add(of);
      next.push(of);
    }
    return next;
  }
}
