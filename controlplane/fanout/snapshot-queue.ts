/** Grants turns for snapshots over the event loop, so that a queue of thousands neither recurses nor blocks it. */
import { SnapshotTurns } from "./snapshot-turns.ts";
import type { TurnLimits, Urgency } from "./snapshot-turns.ts";

export interface SnapshotQueueOptions<T> extends TurnLimits {
  /** Turns granted in one turn of the event loop. */
  readonly grantsPerTurn: number;
  readonly granted: (of: T) => void;
  /** It has not read what was written for too long. */
  readonly isStuck: (of: T, nowMs: number) => boolean;
  /** Too many are stuck; this one longest. */
  readonly end: (of: T) => void;
  /** None is in flight, and none waits. */
  readonly idle: () => void;
}

export class SnapshotQueue<T> {
  readonly #options: SnapshotQueueOptions<T>;
  readonly #turns: SnapshotTurns<T>;
  #isGranting = false;

  constructor(options: SnapshotQueueOptions<T>) {
    this.#options = options;
    this.#turns = new SnapshotTurns(options);
  }

  /** `inFlight` counts those that are stuck too. */
  get sizes(): { readonly inFlight: number; readonly stuck: number; readonly waiting: number } {
    const { granted, lent, waiting } = this.#turns;
    return { inFlight: granted + lent, stuck: lent, waiting };
  }

  request(of: T, urgency: Urgency): void {
    this.#turns.request(of, urgency);
    this.#grantLater();
  }

  release(of: T): void {
    this.#turns.release(of);
    const { inFlight, waiting } = this.sizes;
    if (inFlight + waiting === 0) this.#options.idle();
    this.#grantLater();
  }

  /** Lends the turns of those that are stuck to others. */
  tick(nowMs: number): void {
    const { isStuck, end } = this.#options;
    for (const holder of this.#turns.holders()) {
      if (!isStuck(holder, nowMs)) continue;
      const longest = this.#turns.lend(holder);
      if (longest !== undefined) end(isStuck(longest, nowMs) ? longest : holder);
    }
    this.#grantLater();
  }

  #grantLater(): void {
    if (this.#isGranting || this.#turns.waiting === 0) return;
    this.#isGranting = true;
    setImmediate(() => {
      this.#isGranting = false;
      for (const of of this.#turns.grant(this.#options.grantsPerTurn)) this.#options.granted(of);
    });
  }
}
