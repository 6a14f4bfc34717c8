/**
 * When the next commit may be made: at once when nothing is being flushed, else when every stream that was writable at the last
 * commit has its delta, so that batching follows pressure. A stream that stalls may delay it up to a cap only.
 */

/** Least cap: below it a scheduling hiccup would already split a burst. */
const capLeastMs = 100;
/** A cap above the last flush lets a slower flush finish, and grows with it, up to `capMostMs`. */
const capFactor = 1.5;
/** No flush of working streams takes longer; a commit never waits longer. */
const capMostMs = 5_000;

/** `lastFlushMs`: how long the last flush was really busy. */
export function flushCapMs(lastFlushMs: number): number {
  return Math.min(capMostMs, Math.max(capLeastMs, capFactor * lastFlushMs));
}
