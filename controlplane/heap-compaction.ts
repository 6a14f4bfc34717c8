/** Gives back what a large commit needed, once it is over. */
import { compactHeap } from "@weft/proto/program/compact-heap.ts";
import type { Commit } from "./catalog/resource.ts";

/** Resources of a commit that is worth a pause: they leave about 50 MB of garbage. */
const putsMin = 20_000;
/** After the last such commit: agents that wait for it are served first. */
const quietMs = 10_000;

export class HeapCompaction {
  #timer: NodeJS.Timeout | undefined;

  committed({ puts }: Commit): void {
    if (puts.length < putsMin) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(compactHeap, quietMs);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
