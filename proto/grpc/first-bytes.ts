/** What a client speaks, from the first bytes that it sends to a port that expects HTTP/2 without TLS. */

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export type Speech = "http2" | "tls" | "http1" | "unknown";

/** @param bytes At least one byte; fewer than the 24 of the preface are judged as far as they go. */
export function speechOf(bytes: Uint8Array): Speech {
  const text = String.fromCharCode(...bytes.subarray(0, preface.length));
  if (preface.startsWith(text)) return "http2";
  if (bytes[0] === 0x16 && (bytes.length < 2 || bytes[1] === 0x03)) return "tls";
  return /^[A-Z]{3,8} /.test(text) ? "http1" : "unknown";
}
