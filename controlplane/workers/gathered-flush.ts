/** The flush of one commit over all workers: it is as slow as the slowest of them. */
import type { CommitFlush } from "../fanout/streams.ts";

export class GatheredFlush implements CommitFlush {
  readonly done: Promise<void>;
  readonly #resolve: () => void;
  readonly #left: Set<number>;
  #elapsedMs = 0;

  /** `workers`: those that were given the commit. */
  constructor(workers: Iterable<number>) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    this.#resolve = resolve;
    this.#left = new Set(workers);
    if (this.#left.size === 0) resolve();
  }

  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  get isDone(): boolean {
    return this.#left.size === 0;
  }

  told(worker: number, elapsedMs: number, isDone: boolean): void {
    this.#elapsedMs = Math.max(this.#elapsedMs, elapsedMs);
    if (isDone) this.ended(worker);
  }

  /** Nothing more comes of this worker. */
  ended(worker: number): void {
    this.#left.delete(worker);
    if (this.#left.size === 0) this.#resolve();
  }
}
