/** Messages of gRPC in the data of one call: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */

/** A flag (0: not compressed) and a length. */
export const messageHeaderBytes = 5;

export type Unreadable =
  /** It is larger than it may be. */
  { readonly kind: "too-large"; readonly bytes: number; readonly bytesMax: number } | { readonly kind: "compressed" };

export type Read =
  | { readonly kind: "message"; readonly message: Uint8Array }
  | Unreadable
  /** More is needed. */
  | { readonly kind: "more" };

const more: Read = { kind: "more" };
const none = new Uint8Array(0);

export class MessageReader {
  /** Of the messages from now on. */
  bytesMax: number;
  #bytes: Uint8Array = none;
  // Behind what came in several pieces, with room for more.
  #space: Uint8Array = none;
  #at = 0;
  #header: Uint8Array | undefined;
  #headerFilled = 0;
  // The message that is being read, and how much of it is there.
  #message: Uint8Array | undefined;
  #length = 0;
  #filled = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** All that came is read, and ends with a message. */
  get isBetweenMessages(): boolean {
    return this.#headerFilled === 0 && this.unread === 0;
  }

  /** Bytes that came and are not read yet. */
  get unread(): number {
    return this.#bytes.length - this.#at;
  }

  /** Many small pieces are copied a few times, not once for each piece: the space doubles. */
  push(bytes: Uint8Array): void {
    const { unread } = this;
    if (unread === 0) {
      this.#bytes = bytes;
      this.#space = none;
      this.#at = 0;
      return;
    }
    let end = this.#at + unread;
    if (end + bytes.length > this.#space.length) {
      this.#space = new Uint8Array((unread + bytes.length) * 2);
      this.#space.set(this.#bytes.subarray(this.#at));
      this.#at = 0;
      end = unread;
    }
    this.#space.set(bytes, end);
    this.#bytes = this.#space.subarray(0, end + bytes.length);
  }

  /** Forgets what is not read. @returns How much that was. */
  drop(): number {
    const { unread } = this;
    this.#bytes = none;
    this.#space = none;
    this.#at = 0;
    return unread;
  }

  next(): Read {
    if (this.#message === undefined) {
      const header = this.#readHeader();
      if (header === undefined) return more;
      if (header[0] !== 0) return { kind: "compressed" };
      this.#length = new DataView(header.buffer).getUint32(1);
      if (this.#length > this.bytesMax) return { kind: "too-large", bytes: this.#length, bytesMax: this.bytesMax };
      this.#filled = 0;
      this.#message = none;
    }
    return this.#fill(this.#message);
  }

  #readHeader(): Uint8Array | undefined {
    this.#header ??= new Uint8Array(messageHeaderBytes);
    while (this.#headerFilled < messageHeaderBytes) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) return undefined;
      this.#at++;
      this.#header[this.#headerFilled++] = byte;
    }
    return this.#header;
  }

  // What is claimed is not allocated before it comes: the space doubles.
  #fill(begun: Uint8Array): Read {
    const taken = Math.min(this.unread, this.#length - this.#filled);
    const filled = this.#filled + taken;
    const piece = this.#bytes.subarray(this.#at, this.#at + taken);
    this.#at += taken;
    let message = begun;
    if (this.#filled === 0 && filled === this.#length) {
      message = piece;
    } else {
      if (message.length < filled) {
        message = new Uint8Array(Math.min(this.#length, Math.max(begun.length * 2, filled)));
        message.set(begun.subarray(0, this.#filled));
      }
      message.set(piece, this.#filled);
    }
    this.#filled = filled;
    if (filled < this.#length) {
      this.#message = message;
      return more;
    }
    this.#message = undefined;
    this.#headerFilled = 0;
    return { kind: "message", message };
  }
}
