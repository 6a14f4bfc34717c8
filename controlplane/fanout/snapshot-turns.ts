/**
 * Turns for snapshots and repairs: so many at a time. Streams whose node serves something wrong, or nothing, go before those that
 * only make sure of what they have, in order of asking; every fourth turn is for the latter, so that they are not starved.
 *
 * One that does not read would hold its turn until it is ended as stalled, one that reads slowly for as long as it likes. After a while
 * the turn is lent to the next one; how many turns may be lent is bounded, since each holds a part in memory.
 */
export type Urgency = "wrong" | "verify";

export interface TurnLimits {
  readonly turnsMax: number;
  readonly lentMax: number;
}

const verifyEvery = 4;

export class SnapshotTurns<T> {
  readonly #limits: TurnLimits;
  /** By when it was granted. */
  readonly #granted = new Map<T, number>();
  readonly #lent = new Set<T>();
  readonly #waiting: Readonly<Record<Urgency, Set<T>>> = { wrong: new Set(), verify: new Set() };
  #grants = 0;

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** In flight, without the lent ones. */
  get granted(): number {
    return this.#granted.size;
  }

  /** In flight, but others have their turns. */
  get lent(): number {
    return this.#lent.size;
  }

  get waiting(): number {
    return this.#waiting.wrong.size + this.#waiting.verify.size;
  }

  get hasRoomToLend(): boolean {
    return this.#lent.size < this.#limits.lentMax;
  }

  /** Those whose turn counts, each with when it was granted. */
  holders(): Iterable<readonly [T, number]> {
    return this.#granted;
  }

  /** Those whose turn is lent, the longest first. */
  lenders(): Iterable<T> {
    return this.#lent;
  }

  request(of: T, urgency: Urgency): void {
    if (this.#granted.has(of) || this.#lent.has(of)) return;
    this.#waiting[urgency === "wrong" ? "verify" : "wrong"].delete(of);
    this.#waiting[urgency].add(of);
  }

  /** Gives back a turn, or the place in the queue. */
  release(of: T): void {
    this.#granted.delete(of);
    this.#lent.delete(of);
    this.#waiting.wrong.delete(of);
    this.#waiting.verify.delete(of);
  }

  /** Another one may go while this one goes on. @returns False: too many are lent, and one of them must end. */
  lend(of: T): boolean {
    if (this.#granted.delete(of)) this.#lent.add(of);
    return this.#lent.size <= this.#limits.lentMax;
  }

  /** Who goes next, at most `countMax`; each holds a turn from now on. */
  grant(countMax: number, nowMs: number): T[] {
    const next: T[] = [];
    while (this.#granted.size < this.#limits.turnsMax && next.length < countMax) {
      const of = this.#next();
      if (of === undefined) break;
      this.#granted.set(of, nowMs);
      next.push(of);
    }
    return next;
  }

  #next(): T | undefined {
    const { wrong, verify } = this.#waiting;
    this.#grants = (this.#grants + 1) % verifyEvery;
    const from = verify.size > 0 && (wrong.size === 0 || this.#grants === 0) ? verify : wrong;
    for (const of of from) {
      from.delete(of);
      return of;
    }
    return undefined;
  }
}
