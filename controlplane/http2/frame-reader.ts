/** Takes apart what a client sends, whatever pieces it comes in: the preface, then frames. */
import { ConnectionError, errorCode, frameHeaderBytes, payloadBytesMax, preface } from "./frames.ts";

/** Valid until the next call of `next`. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
  /** With its header. */
  readonly bytes: Buffer;
}

const none = Buffer.alloc(0);

export class FrameReader {
  #bytes: Buffer = none;
  #at = 0;
  #hasPreface = false;
  // A frame that has begun in an earlier piece, and how much of it is there.
  #begun: Buffer | undefined;
  #filled = 0;

  /** The preface has come, and what came after it was read to the end of a frame. */
  get isBetweenFrames(): boolean {
    return this.#hasPreface && this.#begun === undefined && this.#at === this.#bytes.length;
  }

  get hasPreface(): boolean {
    return this.#hasPreface;
  }

  /** Call `next` until it answers undefined before the next piece. */
  push(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#at = 0;
  }

  /**
   * Undefined: more bytes are needed.
   * @throws ConnectionError
   */
  next(): Frame | undefined {
    if (!this.#hasPreface) {
      const begun = this.#take(preface.length);
      if (begun === undefined) return undefined;
      if (!begun.equals(preface)) throw new ConnectionError(errorCode.protocol, "this is no preface of HTTP/2");
      this.#hasPreface = true;
    }
    const head = this.#peekHeader();
    if (head === undefined) return undefined;
    const length = head.readUIntBE(0, 3);
    if (length > payloadBytesMax) {
      throw new ConnectionError(
        errorCode.frameSize,
        `a frame of ${length} bytes; at most ${payloadBytesMax} are taken`,
      );
    }
    const bytes = this.#take(frameHeaderBytes + length);
    if (bytes === undefined) return undefined;
    return {
      type: bytes[3] ?? 0,
      flags: bytes[4] ?? 0,
      stream: bytes.readUInt32BE(5) & 0x7fff_ffff,
      payload: bytes.subarray(frameHeaderBytes),
      bytes,
    };
  }

  /** What was not given out as frames. Nothing can be read any more. */
  rest(): Buffer {
    const begun = this.#begun === undefined ? none : this.#begun.subarray(0, this.#filled);
    const rest = Buffer.concat([begun, this.#bytes.subarray(this.#at)]);
    this.#begun = undefined;
    this.#bytes = none;
    this.#at = 0;
    return rest;
  }

  // Exactly so many bytes; undefined: they are kept until there are more.
  #take(length: number): Buffer | undefined {
    if (this.#begun === undefined && this.#bytes.length - this.#at >= length) {
      const taken = this.#bytes.subarray(this.#at, this.#at + length);
      this.#at += length;
      return taken;
    }
    if (!this.#fill(length)) return undefined;
    const taken = this.#begun;
    this.#begun = undefined;
    this.#filled = 0;
    return taken;
  }

  #peekHeader(): Buffer | undefined {
    if (this.#begun === undefined && this.#bytes.length - this.#at >= frameHeaderBytes) {
      return this.#bytes.subarray(this.#at, this.#at + frameHeaderBytes);
    }
    if (this.#begun === undefined && this.#at === this.#bytes.length) return undefined;
    if (this.#filled >= frameHeaderBytes) return this.#begun;
    return this.#fill(frameHeaderBytes) ? this.#begun : undefined;
  }

  // A slow sender costs one copy of each byte, not one of all bytes for each piece.
  #fill(length: number): boolean {
    if (this.#begun === undefined || this.#begun.length < length) {
      const larger = Buffer.allocUnsafe(length);
      this.#begun?.copy(larger, 0, 0, this.#filled);
      this.#begun = larger;
    }
    const copied = this.#bytes.copy(this.#begun, this.#filled, this.#at, this.#at + length - this.#filled);
    this.#at += copied;
    this.#filled += copied;
    return this.#filled === length;
  }
}
