/** Streams that were ended here and are not gone: the other end does not read the end. After a while they are cut. */
export class LingeringStreams<T> {
  readonly #lingerMs: number;
  // In order of their ends.
  readonly #endedMs = new Map<T, number>();

  constructor(lingerMs: number) {
    this.#lingerMs = lingerMs;
  }

  ended(of: T, nowMs: number): void {
    if (!this.#endedMs.has(of)) this.#endedMs.set(of, nowMs);
  }

  gone(of: T): void {
    this.#endedMs.delete(of);
  }

  /** Those that had long enough; each is named once. */
  due(nowMs: number): readonly T[] {
    const due: T[] = [];
    for (const [of, endedMs] of this.#endedMs) {
      if (nowMs - endedMs < this.#lingerMs) break;
      this.#endedMs.delete(of);
      due.push(of);
    }
    return due;
  }
}
