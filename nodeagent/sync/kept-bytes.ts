/**
 * Bytes of one resource as a string of one byte per character, on their way to where they are held (held-resources.ts). A small Uint8Array
 * costs about 200 bytes over its content and keeps a whole receive buffer alive; a one-byte string costs 16 and owns its content.
 */

/** Character codes 0 to 255 only. */
export type KeptBytes = string & { readonly brand: "KeptBytes" };

/** A copy: `bytes` and the buffer behind them may go. */
export function keepBytes(bytes: Uint8Array): KeptBytes {
  const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString("latin1") as KeptBytes;
}

/** The bytes that were kept. */
export function bytesOf(kept: KeptBytes): Uint8Array {
  return Buffer.from(kept, "latin1");
}
