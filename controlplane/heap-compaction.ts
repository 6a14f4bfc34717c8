/** Gives back what a large commit needed, once it is over. */
import { compactHeap } from "@weft/proto/program/compact-heap.ts";
import type { Commit } from "./catalog/resource.ts";
import type { StreamSizes } from "./fanout/streams.ts";

/** Resources of a commit that is worth a pause: they leave about 50 MB of garbage. */
const putsMin = 20_000;
/** After the last such commit: agents that wait for it are served first. */
const quietMs = 10_000;
/** While snapshots are on their way it waits again; a fleet that comes all the time does not keep it from ever happening. */
const waitsMax = 6;

export interface HeapCompactionOptions {
  readonly snapshots: () => StreamSizes["snapshots"];
  /** Default: `compactHeap`. */
  readonly compact?: () => void;
  readonly quietMs?: number;
}

export class HeapCompaction {
  readonly #options: Required<HeapCompactionOptions>;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: HeapCompactionOptions) {
    this.#options = { compact: compactHeap, quietMs, ...options };
  }

  committed({ puts }: Pick<Commit, "puts">): void {
    if (puts.length >= putsMin) this.#later(waitsMax);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #later(waitsLeft: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const { inFlight, stuck, waiting } = this.#options.snapshots();
      const isBusy = waiting > 0 || inFlight > stuck;
      if (isBusy && waitsLeft > 0) this.#later(waitsLeft - 1);
      else this.#options.compact();
    }, this.#options.quietMs);
  }
}
