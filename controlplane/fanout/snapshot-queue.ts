/** Grants turns for snapshots over the event loop, so that a queue of thousands neither recurses nor blocks it. */
import type { FanoutLimits } from "./fanout-limits.ts";
import { SnapshotTurns } from "./snapshot-turns.ts";
import type { Urgency } from "./snapshot-turns.ts";

/** As `FanoutLimits` says of them. */
export type SnapshotLimits = Pick<
  FanoutLimits,
  "snapshotsMax" | "snapshotStuckMs" | "snapshotTurnMs" | "snapshotsStuckMax" | "streamsPerTurn"
>;

export interface SnapshotQueueOptions<T> {
  readonly limits: SnapshotLimits;
  readonly now: () => number;
  readonly granted: (of: T) => void;
  /** Since when it has not read what was written; undefined if it has. */
  readonly stuckSinceMs: (of: T) => number | undefined;
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
    const { snapshotsMax, snapshotsStuckMax } = options.limits;
    this.#turns = new SnapshotTurns({ turnsMax: snapshotsMax, lentMax: snapshotsStuckMax });
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
    const turns = this.#turns;
    for (const [holder, sinceMs] of turns.holders()) {
      if (this.#isStuck(holder, nowMs)) {
        if (turns.lend(holder)) continue;
        this.#options.end([...turns.lenders()].find((of) => this.#isStuck(of, nowMs)) ?? holder);
      } else if (nowMs - sinceMs > this.#options.limits.snapshotTurnMs && turns.waiting > 0 && turns.hasRoomToLend) {
        turns.lend(holder);
      }
    }
    this.#grantLater();
  }

  #isStuck(of: T, nowMs: number): boolean {
    const sinceMs = this.#options.stuckSinceMs(of);
    return sinceMs !== undefined && nowMs - sinceMs > this.#options.limits.snapshotStuckMs;
  }

  #grantLater(): void {
    if (this.#isGranting || this.#turns.waiting === 0) return;
    this.#isGranting = true;
    setImmediate(() => {
      const { limits, granted, now } = this.#options;
      this.#isGranting = false;
      for (const of of this.#turns.grant(limits.streamsPerTurn, now())) granted(of);
    });
  }
}
