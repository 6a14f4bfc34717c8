/** What a connection began with, until it is known who serves it: whoever that is reads it as if nobody had. */
import { ConnectionError, errorCode, preface } from "./frames.ts";
import type { Frame } from "./frame-reader.ts";

export class HeldFrames {
  readonly #bytesMax: number;
  readonly #parts: Buffer[] = [preface];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** @throws ConnectionError it is too much. */
  hold({ bytes }: Frame): void {
    this.#bytes += bytes.length;
    if (this.#bytes > this.#bytesMax) {
      throw new ConnectionError(errorCode.enhanceYourCalm, "too much before it was known who serves the connection");
    }
    this.#parts.push(Buffer.from(bytes));
  }

  /** @param rest What came behind the frames. */
  followedBy(rest: Buffer): Buffer {
    return Buffer.concat([...this.#parts, rest]);
  }
}
