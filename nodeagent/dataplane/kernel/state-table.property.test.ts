import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { descriptorBits, stateLayout } from "./layout.ts";
import { StateTable } from "./state-table.ts";

const states = 40;
const firstWord = stateLayout.word / 8;
const wordsPerState = stateLayout.size / 8;
const active = fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 300n }), fc.bigInt({ min: 1n, max: 2n ** 38n }));

it("takes back whatever is above `active`, in either word, as state by state", () => {
  const word = fc.record({
    offset: fc.integer({ min: -3, max: 2 }),
    descriptor: fc.nat(0xff_ffff),
    isClear: fc.boolean(),
  });
  const pairs = fc.array(fc.tuple(fc.nat(states - 1), word, word), { minLength: 1, maxLength: states });
  let taken = 0;
  fc.assert(
    fc.property(active, pairs, (at, written) => {
      const table = new StateTable(new ArrayBuffer(states * stateLayout.size));
      const other = new StateTable(new ArrayBuffer(states * stateLayout.size));
      for (const [index, ...words] of written) {
        for (const [i, { offset, descriptor, isClear }] of words.entries()) {
          const sequence = at + BigInt(offset);
          if (isClear || sequence < 0n) continue;
          for (const each of [table, other])
            each.words[index * wordsPerState + firstWord + i] = (sequence << descriptorBits) | BigInt(descriptor);
        }
      }
      const before = table.words.slice();
      table.rollbackAll(at);
      for (let index = 0; index < states; index++) other.rollback(index, at);
      assert.deepEqual(table.words, other.words);
      for (const [i, of] of table.words.entries())
        if (i % wordsPerState >= firstWord) assert.ok(of >> descriptorBits <= at);
      if (before.some((of, i) => of !== table.words[i])) taken++;
    }),
    { numRuns: 500 },
  );
  assert.ok(taken > 100, `${taken} tables had something above`);
});
