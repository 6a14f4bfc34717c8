/** Text in chunks -> lines, with a bound on what one line may hold. Line ends are LF or CRLF; the last one may be missing. */

/** A line, or that it was longer than the bound: what it held is forgotten. */
export type SplitLine = { readonly kind: "line"; readonly text: string } | { readonly kind: "too-long" };

export class LineSplitter {
  readonly #charactersMax: number;
  #rest = "";
  #isTooLong = false;
  #isFirst = true;

  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  /** Lines that end in this chunk. */
  push(chunk: string): readonly SplitLine[] {
    const parts = chunk.split("\n");
    const last = parts.pop() ?? "";
    const lines = parts.map((part) => this.#end(part));
    this.#add(last);
    return lines;
  }

  /** What stands behind the last line end. */
  end(): readonly SplitLine[] {
    return this.#rest === "" && !this.#isTooLong ? [] : [this.#end("")];
  }

  #end(part: string): SplitLine {
    this.#add(part);
    const isTooLong = this.#isTooLong;
    const rest = this.#rest.endsWith("\r") ? this.#rest.slice(0, -1) : this.#rest;
    const text = this.#isFirst && rest.startsWith("\uFEFF") ? rest.slice(1) : rest;
    this.#rest = "";
    this.#isTooLong = false;
    this.#isFirst = false;
    return isTooLong ? { kind: "too-long" } : { kind: "line", text };
  }

  #add(part: string): void {
    if (this.#isTooLong) return;
    this.#rest += part;
    if (this.#rest.length <= this.#charactersMax) return;
    this.#rest = "";
    this.#isTooLong = true;
  }
}
