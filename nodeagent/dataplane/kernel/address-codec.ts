/** Addresses between text and the 16 bytes of keys and backends. Pure; a hot path, so IPv4 is read without allocating. */
import { addressFromBytes, mappedBytes, type Address } from "@weft/proto/address.ts";

/** Writes 16 bytes at `at`; IPv4 is v4-mapped. `text` must be canonical. */
export function writeAddress(text: Address, bytes: Uint8Array, at: number): void {
  let part = 0;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      bytes[at + 12 + part++] = value;
      value = 0;
    } else if (code >= 0x30 && code <= 0x39) {
      value = value * 10 + code - 0x30;
    } else {
      bytes.set(mappedBytes(text), at);
      return;
    }
  }
  if (part !== 3) {
    bytes.set(mappedBytes(text), at);
    return;
  }
  bytes[at + 15] = value;
  bytes.fill(0, at, at + 10);
  bytes[at + 10] = 0xff;
  bytes[at + 11] = 0xff;
}

export function readAddress(bytes: Uint8Array, at: number): Address {
  if (bytes[at + 10] === 0xff && bytes[at + 11] === 0xff && isZero(bytes, at, at + 10)) {
    return `${bytes[at + 12]}.${bytes[at + 13]}.${bytes[at + 14]}.${bytes[at + 15]}` as Address;
  }
  return addressFromBytes(bytes.subarray(at, at + 16));
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
