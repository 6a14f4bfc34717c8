import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { hash64, hashToBigint } from "./hash.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

// From the reference implementation in C (by way of the Python package mmh3, x86_128, seed 0): its first two words.
const vectors: readonly (readonly [bytes: Uint8Array, words: string])[] = [
  [utf8(""), "0000000000000000"],
  [utf8("a"), "a794933c5556b01b"],
  [utf8("abc"), "75cdc6d1a2b006a5"],
  [utf8("hello, world"), "8b21605cb9b98a1e"],
  [utf8("0123456789abcde"), "3c76c46d4d0818c0"],
  [utf8("0123456789abcdef"), "fb7d440936aed30a"],
  [utf8("0123456789abcdefg"), "7f1f9836516b3876"],
  [utf8("The quick brown fox jumps over the lazy dog"), "2f1583c3ecee2c67"],
  [utf8("I will not buy this record, it is scratched."), "a0a9683b25ac5e40"],
  [Uint8Array.from({ length: 256 }, (_, i) => i), "2c56c88fdb4503df"],
  [new Uint8Array(31).fill(0xff), "aa0f06a59f087855"],
  [Uint8Array.from({ length: 4_096 }, (_, i) => (i * 31) & 255), "61d827e65decce9e"],
  [Uint8Array.from({ length: 10_007 }, (_, i) => (i * 31) & 255), "87cb79ce02f0c35c"],
];

describe("hash64", () => {
  for (const [bytes, words] of vectors) {
    test(`is MurmurHash3 x86_128 of ${bytes.length} bytes`, () => {
      const { low, high } = hash64(bytes);
      assert.equal(low.toString(16).padStart(8, "0") + high.toString(16).padStart(8, "0"), words);
    });
  }

  test("does not depend on where the bytes lie", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(9), (bytes, offset) => {
        const around = new Uint8Array(bytes.length + offset + 20).fill(0xaa);
        around.set(bytes, offset);
        assert.deepEqual(hash64(around.subarray(offset, offset + bytes.length)), hash64(bytes));
      }),
    );
  });

  test("tells trailing zeros apart", () => {
    const hashes = Array.from({ length: 40 }, (_, length) => hashToBigint(hash64(new Uint8Array(length))));
    assert.equal(new Set(hashes).size, hashes.length);
  });

  test("as a bigint has the second word on top", () => {
    assert.equal(hashToBigint({ high: 0xffff_ffff, low: 1 }), 0xffff_ffff_0000_0001n);
  });
});
