/** Limits messages that repeat: the first of each cause at once, then one a minute with the number left out. Pure. */

export const repeatAfterMs = 60_000;

export class Seldom {
  readonly #said = new Map<string, { atMs: number; leftOut: number }>();

  /** Undefined: not now. Else how many of this cause were left out since the last one. Causes are closed words. */
  due(cause: string, nowMs: number): number | undefined {
    const said = this.#said.get(cause);
    if (said !== undefined && nowMs - said.atMs < repeatAfterMs) {
      said.leftOut++;
      return undefined;
    }
    this.#said.set(cause, { atMs: nowMs, leftOut: 0 });
    return said?.leftOut ?? 0;
  }

  /** All is well again: the next one of any cause is said at once. */
  reset(): void {
    this.#said.clear();
  }
}
