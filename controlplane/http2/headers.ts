/** Headers that a gRPC server writes, in HPACK that refers to nothing: every block is good on every connection. */

/** Index of `:status: 200` in the static table. */
const indexedStatus200 = 0x88;
/** A value with a name of the static table, not to be indexed: content-type has the index 31, which takes two bytes. */
const contentTypeName = [0x0f, 31 - 15];
/** A name and a value as they are, not to be indexed. */
const literal = 0;

export const responseHeaders: Uint8Array = Buffer.concat([
  Buffer.of(indexedStatus200, ...contentTypeName),
  text("application/grpc+proto"),
]);

/** @param code https://grpc.io/docs/guides/status-codes/ */
export function trailers(code: number, message: string): Uint8Array {
  const status = [Buffer.of(literal), text("grpc-status"), text(String(code))];
  if (message === "") return Buffer.concat(status);
  return Buffer.concat([...status, Buffer.of(literal), text("grpc-message"), text(percentEncoded(message))]);
}

// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses: printable ASCII but "%" stays.
function percentEncoded(message: string): string {
  let encoded = "";
  for (const byte of Buffer.from(message)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

// Its length, and the bytes as they are: no Huffman code.
function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  const prefixMax = 127;
  if (bytes.length < prefixMax) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [prefixMax];
  let rest = bytes.length - prefixMax;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.of(...length, rest), bytes]);
}
