/** Fires when nothing has been heard for so long. Cheap to touch: one timer, armed again when it fires too early. */
export class QuietTimer implements Disposable {
  readonly #limitMs: () => number;
  readonly #quiet: (afterMs: number) => void;
  #heardMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #firesMs = 0;

  /** @param limitMs May become another one; `touch` notices. */
  constructor(limitMs: () => number, quiet: (afterMs: number) => void) {
    this.#limitMs = limitMs;
    this.#quiet = quiet;
    this.#arm();
  }

  touch(): void {
    this.#heardMs = performance.now();
    if (this.#heardMs + this.#limitMs() < this.#firesMs) this.#arm();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const limitMs = this.#limitMs();
    this.#firesMs = this.#heardMs + limitMs;
    const leftMs = this.#firesMs - performance.now();
    if (leftMs <= 0) this.#quiet(limitMs);
    else this.#timer = setTimeout(() => this.#arm(), Math.ceil(leftMs));
  }
}
