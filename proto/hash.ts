/**
 * The hash of a resource: the first 64 bits of MurmurHash3 x86_128 with seed 0, over the bytes as received.
 * Chosen because it needs 32-bit arithmetic only (no BigInt per element) and is well described:
 * https://github.com/aappleby/smhasher. It finds accidents, not attackers; ids (SHA-256) are what a tenant could attack.
 */

/** 64 bits as two unsigned 32-bit halves. */
export interface Hash64 {
  readonly high: number;
  readonly low: number;
}

const c1 = 0x239b961b;
const c2 = 0xab0e9789;
const c3 = 0x38b34ae5;
const c4 = 0xa1e38b93;

const rotl = (x: number, r: number): number => (x << r) | (x >>> (32 - r));

function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

const byteAt = (bytes: Uint8Array, i: number): number => bytes[i] ?? 0;
const wordAt = (bytes: Uint8Array, i: number): number =>
  byteAt(bytes, i) | (byteAt(bytes, i + 1) << 8) | (byteAt(bytes, i + 2) << 16) | (byteAt(bytes, i + 3) << 24);

// Blocks are read here as words (little-endian machines only, as the BPF objects): ten times faster than byte by byte.
const blocks = new Uint8Array(4_096);
const words = new Int32Array(blocks.buffer);

/** Hash of `bytes`; `low` is the first word of the algorithm's output, `high` the second. */
export function hash64(bytes: Uint8Array): Hash64 {
  let h1 = 0;
  let h2 = 0;
  let h3 = 0;
  let h4 = 0;
  const blocksEnd = bytes.length & ~15;
  for (let from = 0; from < blocksEnd; from += blocks.length) {
    const size = Math.min(blocks.length, blocksEnd - from);
    blocks.set(from === 0 && size === bytes.length ? bytes : bytes.subarray(from, from + size));
    for (let i = 0; i < size >> 2; i += 4) {
      h1 ^= Math.imul(rotl(Math.imul(words[i] ?? 0, c1), 15), c2);
      h1 = (Math.imul((rotl(h1, 19) + h2) | 0, 5) + 0x561ccd1b) | 0;
      h2 ^= Math.imul(rotl(Math.imul(words[i + 1] ?? 0, c2), 16), c3);
      h2 = (Math.imul((rotl(h2, 17) + h3) | 0, 5) + 0x0bcaa747) | 0;
      h3 ^= Math.imul(rotl(Math.imul(words[i + 2] ?? 0, c3), 17), c4);
      h3 = (Math.imul((rotl(h3, 15) + h4) | 0, 5) + 0x96cd1c35) | 0;
      h4 ^= Math.imul(rotl(Math.imul(words[i + 3] ?? 0, c4), 18), c1);
      h4 = (Math.imul((rotl(h4, 13) + h1) | 0, 5) + 0x32ac3b17) | 0;
    }
  }
  // The tail reads zeros past the end, which is what the algorithm defines; a word of zeros leaves its lane as it is.
  h4 ^= Math.imul(rotl(Math.imul(wordAt(bytes, blocksEnd + 12), c4), 18), c1);
  h3 ^= Math.imul(rotl(Math.imul(wordAt(bytes, blocksEnd + 8), c3), 17), c4);
  h2 ^= Math.imul(rotl(Math.imul(wordAt(bytes, blocksEnd + 4), c2), 16), c3);
  h1 ^= Math.imul(rotl(Math.imul(wordAt(bytes, blocksEnd), c1), 15), c2);
  h1 ^= bytes.length;
  h2 ^= bytes.length;
  h3 ^= bytes.length;
  h4 ^= bytes.length;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  h3 = (h3 + h1) | 0;
  h4 = (h4 + h1) | 0;
  h1 = mix(h1);
  h2 = mix(h2);
  h3 = mix(h3);
  h4 = mix(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  return { high: h2 >>> 0, low: h1 >>> 0 };
}

export function hashToBigint(of: Hash64): bigint {
  return (BigInt(of.high) << 32n) | BigInt(of.low);
}
