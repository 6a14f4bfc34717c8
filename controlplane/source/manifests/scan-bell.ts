/** When to scan: so long after the last event, but not longer than so long after the first (S27). */
import { setTimeout as delay } from "node:timers/promises";
import { unixMs } from "@weft/proto/program/clock.ts";

/** S27 */
const quietMs = 20;
const patienceMs = 200;

/** When a scan is due after events from `firstMs` to `lastMs`; `latestMs`: without any. */
export function scanDueMs(firstMs: number | undefined, lastMs: number, latestMs: number): number {
  return firstMs === undefined ? latestMs : Math.min(lastMs + quietMs, firstMs + patienceMs, latestMs);
}

export class ScanBell {
  #firstMs: number | undefined;
  #lastMs = 0;
  #noticedAtMs = 0;
  #wake: (() => void) | undefined;

  ring(): void {
    const now = performance.now();
    if (this.#firstMs === undefined) {
      this.#firstMs = now;
      this.#noticedAtMs = unixMs();
    }
    this.#lastMs = now;
    this.#wake?.();
  }

  /**
   * Resolves when a scan is due: by events, or `withinMs` from now without any, or at once if `signal` aborts. What rings from
   * here on is for the next scan. Returns the unix milliseconds of the first event, or of now.
   */
  async due(withinMs: number, signal: AbortSignal): Promise<number> {
    const latestMs = performance.now() + withinMs;
    for (;;) {
      const leftMs = scanDueMs(this.#firstMs, this.#lastMs, latestMs) - performance.now();
      if (leftMs <= 0 || signal.aborted) break;
      await this.#sleep(leftMs, signal);
    }
    const noticedAtMs = this.#firstMs === undefined ? unixMs() : this.#noticedAtMs;
    this.#firstMs = undefined;
    return noticedAtMs;
  }

  // Until the time is over, or a ring, or an abort.
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    try {
      await delay(Math.ceil(ms), undefined, { signal: AbortSignal.any([woken.signal, signal]) });
    } catch (error) {
      if (!woken.signal.aborted && !signal.aborted) throw error;
    } finally {
      this.#wake = undefined;
    }
  }
}
