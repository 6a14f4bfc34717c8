import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Digest, bucketOf, digestBuckets } from "./digest.ts";
import { hashToBigint } from "./hash.ts";
import type { Hash64 } from "./hash.ts";
import { receivedId } from "./ids.ts";
import type { ResourceId } from "./ids.ts";

interface Element {
  readonly id: ResourceId;
  readonly hash: Hash64;
}

// Halves at which carries and negations go wrong come up often.
const half = fc.oneof(
  fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
const element: fc.Arbitrary<Element> = fc.record({
  id: fc.bigInt({ min: 1n, max: 0xffff_ffff_ffff_ffffn }).map(receivedId),
  hash: fc.record({ high: half, low: half }),
});
const elements = fc.array(element, { maxLength: 30 });

const sum = (of: readonly Element[]): bigint =>
  BigInt.asUintN(
    64,
    of.map(({ hash }) => hashToBigint(hash)).reduce((a, b) => a + b, 0n),
  );

function digestOf(of: readonly Element[]): Digest {
  const digest = new Digest();
  for (const { id, hash } of of) digest.add(id, hash);
  return digest;
}

const sums = (of: Digest): readonly bigint[] => [
  of.root,
  ...Array.from({ length: digestBuckets }, (_, i) => of.bucket(i)),
];

describe("a digest", () => {
  test("is the sum of the hashes modulo 2^64, in the root and in each bucket", () => {
    fc.assert(
      fc.property(elements, (all) => {
        const digest = digestOf(all);
        assert.equal(digest.root, sum(all));
        for (const { id } of all) {
          const bucket = Number(id & 1_023n);
          assert.equal(bucketOf(id), bucket);
          assert.equal(digest.bucket(bucket), sum(all.filter((other) => Number(other.id & 1_023n) === bucket)));
        }
      }),
    );
  });

  test("does not depend on order", () => {
    fc.assert(fc.property(elements, (all) => assert.deepEqual(sums(digestOf(all.toReversed())), sums(digestOf(all)))));
  });

  test("forgets what is removed", () => {
    fc.assert(
      fc.property(elements, elements, (kept, removed) => {
        const digest = digestOf([...removed, ...kept]);
        for (const { id, hash } of removed) digest.remove(id, hash);
        assert.deepEqual(sums(digest), sums(digestOf(kept)));
      }),
    );
  });

  test("removes hashes whose low half is zero", () => {
    for (const hash of [
      { high: 0, low: 0 },
      { high: 1, low: 0 },
      { high: 0xffff_ffff, low: 0 },
      { high: 0, low: 1 },
    ]) {
      const digest = new Digest();
      digest.add(receivedId(5n), hash);
      digest.remove(receivedId(5n), hash);
      assert.equal(digest.root, 0n, JSON.stringify(hash));
      assert.equal(digest.bucket(5), 0n, JSON.stringify(hash));
    }
  });

  test("has no bucket outside of its range", () => {
    assert.throws(() => new Digest().bucket(digestBuckets), RangeError);
    assert.throws(() => new Digest().bucket(-1), RangeError);
  });
});
