/**
 * Tells what was removed on purpose from what is half-written. A file that is gone, that does not parse, or that holds less
 * than before looks like an editor between two system calls; it counts once it has been seen the same for a while.
 * Pure; times are milliseconds of any monotonic clock.
 */
import { sizeOfObjects } from "./folder.ts";
import type { FileReading } from "./folder.ts";

/** A rename dance or a rewrite in place takes milliseconds. */
const settleMs = 100;
/** An emptied file is more often about to be written than meant. */
const settleEmptyMs = 500;
/** How long one restless file may hold back the rest of its batch. */
const holdMs = 1_000;

interface Doubt {
  readonly stamp: string;
  readonly sinceMs: number;
  readonly firstMs: number;
}

export type Verdict =
  | { readonly kind: "settled" }
  /** `isHolding`: the batch waits for it too. */
  | { readonly kind: "doubtful"; readonly againInMs: number; readonly isHolding: boolean };

export class Settling {
  readonly #doubts = new Map<string, Doubt>();

  /**
   * @param stamp identifies the content that was seen; "" if it is gone, undefined if it changed while it was being read.
   * @param sizeBefore objects and endpoints last taken from this file.
   */
  judge(path: string, reading: FileReading, stamp: string | undefined, sizeBefore: number, nowMs: number): Verdict {
    const needMs = stamp === undefined ? settleMs : doubtMs(reading, sizeBefore);
    if (needMs === 0) {
      this.#doubts.delete(path);
      return { kind: "settled" };
    }
    const before = this.#doubts.get(path);
    const isSame = before !== undefined && stamp !== undefined && before.stamp === stamp;
    const doubt = {
      stamp: stamp ?? "changing",
      sinceMs: isSame ? before.sinceMs : nowMs,
      firstMs: before?.firstMs ?? nowMs,
    };
    // Kept when it settles, too: the batch may still wait for another file, and this one must not begin anew.
    this.#doubts.set(path, doubt);
    if (isSame && nowMs - doubt.sinceMs >= needMs) return { kind: "settled" };
    return { kind: "doubtful", againInMs: doubt.sinceMs + needMs - nowMs, isHolding: nowMs - doubt.firstMs < holdMs };
  }

  /** The look was taken, or the file is as it was before the doubt. */
  forget(path: string): void {
    this.#doubts.delete(path);
  }

  /** Paths in doubt. */
  paths(): Iterable<string> {
    return this.#doubts.keys();
  }
}

// 0: nothing to doubt.
function doubtMs(reading: FileReading, sizeBefore: number): number {
  switch (reading.kind) {
    case "gone":
      return settleMs;
    case "unreadable":
      return settleMs;
    case "read": {
      const size = sizeOfObjects(reading.objects);
      if (size >= sizeBefore) return 0;
      return size === 0 ? settleEmptyMs : settleMs;
    }
  }
}
