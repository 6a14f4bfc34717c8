/**
 * Bytes that are kept for long, as a string of one byte per character. 250,000 small resources as Uint8Arrays cost about 200
 * bytes each over their content and keep whole receive buffers alive; a one-byte string costs 16 and owns its content.
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
