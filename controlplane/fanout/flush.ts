/** How one commit got to the sockets. The next commit under load waits for it. */

/** The end of a flush. */
export interface Flushed {
  /** From the commit until the last of its writes was on its way. */
  readonly elapsedMs: number;
  /** Streams that were writable at the commit. */
  readonly streams: number;
  /** Streams that were not; they catch up from their own cursor. */
  readonly skipped: number;
}

export class Flush {
  readonly done: Promise<Flushed>;
  readonly #resolve: (flushed: Flushed) => void;
  readonly #startedMs: number;
  #streams = 0;
  #skipped = 0;
  #left = 0;
  #isComplete = false;
  #lastMs: number;

  constructor(nowMs: number) {
    const { promise, resolve } = Promise.withResolvers<Flushed>();
    this.done = promise;
    this.#resolve = resolve;
    this.#startedMs = nowMs;
    this.#lastMs = nowMs;
  }

  /** Until the last write that is on its way; grows while the flush goes on, but not because of streams that stall. */
  get elapsedMs(): number {
    return this.#lastMs - this.#startedMs;
  }

  skipped(): void {
    this.#skipped++;
  }

  writing(): void {
    this.#streams++;
    this.#left++;
  }

  /** One write is on its way, or its stream has ended. */
  written(nowMs: number): void {
    this.#left--;
    this.#lastMs = nowMs;
    this.#settle();
  }

  /** Every stream was visited. */
  complete(nowMs: number): void {
    this.#isComplete = true;
    this.#lastMs = nowMs;
    this.#settle();
  }

  #settle(): void {
    if (!this.#isComplete || this.#left > 0) return;
    this.#resolve({ elapsedMs: this.elapsedMs, streams: this.#streams, skipped: this.#skipped });
  }
}
