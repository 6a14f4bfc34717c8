/** Grants turns for snapshots over the event loop, so that a queue of thousands neither recurses nor blocks it. */
import { SnapshotTurns } from "./snapshot-turns.ts";
import type { TurnLimits, Urgency } from "./snapshot-turns.ts";

export interface SnapshotQueueOptions<T> extends TurnLimits {
  /** Turns granted in one turn of the event loop. */
  readonly grantsPerTurn: number;
  /** One whose turn lasts longer lends it, while others wait and so many may. */
  readonly turnMs: number;
  readonly now: () => number;
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

  /** `inFlight` counts those that are stuck or slow too: `stuck`. */
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

  /** Lends the turns of those that are stuck to others, and of those that are slow. Nobody is ended for being slow. */
  tick(nowMs: number): void {
    const { isStuck, end, turnMs } = this.#options;
    for (const [holder, sinceMs] of this.#turns.holders()) {
      if (isStuck(holder, nowMs)) {
        if (!this.#turns.lend(holder)) end([...this.#turns.lenders()].find((of) => isStuck(of, nowMs)) ?? holder);
      } else if (nowMs - sinceMs > turnMs && this.#turns.waiting > 0 && this.#turns.hasRoomToLend) {
        this.#turns.lend(holder);
      }
    }
    this.#grantLater();
  }

  #grantLater(): void {
    if (this.#isGranting || this.#turns.waiting === 0) return;
    this.#isGranting = true;
    setImmediate(() => {
      const { grantsPerTurn, granted, now } = this.#options;
      this.#isGranting = false;
      for (const of of this.#turns.grant(grantsPerTurn, now())) granted(of);
    });
  }
}
