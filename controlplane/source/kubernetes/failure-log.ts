/** Which failures are said: each text at once, and while it goes on once a minute. Pure. */

const repeatMs = 60_000;
/** Texts that are remembered. */
const textsMax = 256;

export class FailureLog {
  readonly #saidMs = new Map<string, number>();

  isDue(text: string, nowMs: number): boolean {
    const saidMs = this.#saidMs.get(text);
    if (saidMs !== undefined && nowMs - saidMs < repeatMs) return false;
    if (this.#saidMs.size >= textsMax) this.#saidMs.clear();
    this.#saidMs.set(text, nowMs);
    return true;
  }

  /** All is well again: the next failure is said at once. */
  clear(): void {
    this.#saidMs.clear();
  }
}
