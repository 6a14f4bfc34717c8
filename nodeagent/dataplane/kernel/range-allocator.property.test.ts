import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { IndexAllocator } from "./index-allocator.ts";
import { RangeAllocator } from "./range-allocator.ts";

const size = 64;

describe("range allocator", () => {
  it("never gives out a slot twice, loses none, and joins what is freed", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 60 }),
        fc.array(fc.nat(), { maxLength: 60 }),
        (counts, frees) => {
          const allocator = new RangeAllocator(size);
          const held: { base: number; count: number }[] = [];
          for (const [i, count] of counts.entries()) {
            const base = allocator.take(count);
            if (base !== undefined) held.push({ base, count });
            const free = frees[i];
            if (free !== undefined && free % 2 === 0 && held.length > 0) {
              const [range] = held.splice(free % held.length, 1);
              assert.ok(range);
              allocator.release(range.base, range.count);
            }
            const slots = held.flatMap((range) => Array.from({ length: range.count }, (_, n) => range.base + n));
            assert.equal(new Set(slots).size, slots.length, "overlap");
            assert.ok(slots.every((slot) => slot >= 0 && slot < size));
            assert.equal(allocator.available, size - slots.length);
          }
          for (const { base, count } of held) allocator.release(base, count);
          assert.equal(allocator.take(size), 0, "one hole again");
        },
      ),
    );
  });

  it("adopts what is in use and refuses overlaps", () => {
    const allocator = new RangeAllocator(size);
    assert.equal(allocator.adopt(10, 5), true);
    assert.equal(allocator.adopt(0, 3), true);
    assert.equal(allocator.adopt(14, 2), false);
    assert.equal(allocator.adopt(60, 5), false);
    assert.equal(allocator.available, size - 8);
    assert.equal(allocator.take(7), 3);
    assert.equal(allocator.take(size - 15), 15);
    assert.equal(allocator.take(1), undefined);
  });

  it("leaves the reserve alone", () => {
    const allocator = new RangeAllocator(size);
    assert.equal(allocator.take(size, 1), undefined);
    assert.equal(allocator.take(size - 1, 1), 0);
  });
});

describe("index allocator", () => {
  it("gives out every index once and takes released ones back", () => {
    const allocator = new IndexAllocator(2, 6);
    const taken = [allocator.take(), allocator.take(), allocator.take(), allocator.take()];
    assert.deepEqual(new Set(taken), new Set([2, 3, 4, 5]));
    assert.equal(allocator.take(), undefined);
    allocator.release(3);
    assert.equal(allocator.take(1), undefined, "the reserve");
    assert.equal(allocator.take(), 3);
  });

  it("continues around what was adopted", () => {
    const allocator = new IndexAllocator(0, 5);
    assert.equal(allocator.adopt([1, 3]), true);
    assert.equal(allocator.available, 3);
    assert.deepEqual(new Set([allocator.take(), allocator.take(), allocator.take()]), new Set([0, 2, 4]));
    assert.equal(new IndexAllocator(0, 5).adopt([5]), false);
  });
});
