/** Cuts the bytes of a watch into lines. Pure. */
import { CodecError } from "./codec.ts";

/** Largest object of a watch. etcd takes 1.5 MiB; JSON makes that larger by escapes and managedFields. */
const lineBytesMax = 32 * 1_024 * 1_024;

const newline = 0x0a;

export class LineSplitter {
  // Parts of a line whose end has not come.
  #parts: Uint8Array[] = [];
  #bytes = 0;

  /** The lines that are complete with this chunk; blank ones are left out. @throws CodecError */
  push(chunk: Uint8Array): readonly string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      const line = this.#complete(chunk.subarray(from, end));
      if (line.trim() !== "") lines.push(line);
      from = end + 1;
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from));
    return lines;
  }

  /** True if the bytes so far end within a line. */
  get isWithin(): boolean {
    return this.#bytes > 0;
  }

  #keep(part: Uint8Array): void {
    this.#bytes += part.length;
    if (this.#bytes > lineBytesMax) throw new CodecError(`an object of more than ${lineBytesMax} bytes`);
    // A copy: the caller may use the chunk's memory again.
    this.#parts.push(part.slice());
  }

  #complete(last: Uint8Array): string {
    if (this.#parts.length === 0) return decoder.decode(last);
    this.#keep(last);
    const whole = new Uint8Array(this.#bytes);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    this.#parts = [];
    this.#bytes = 0;
    return decoder.decode(whole);
  }
}

const decoder = new TextDecoder();
