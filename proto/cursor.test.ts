import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  compareEpochs,
  epoch,
  isSameEpoch,
  nextRevision,
  parseCursor,
  parseEpoch,
  printCursor,
  printEpoch,
  revision,
} from "./cursor.ts";

describe("cursors", () => {
  const printed = ["1763881972000-9f3a12bc.42", "0-00000000.0", "1-0000000f.9007199254740991"];
  for (const text of printed) {
    test(`"${text}" parses and prints back`, () => {
      const cursor = parseCursor(text);
      assert.ok(cursor !== undefined);
      assert.equal(printCursor(cursor), text);
    });
  }

  const malformed = [
    "",
    "42",
    ".42",
    "1763881972000-9f3a12bc",
    "1763881972000-9f3a12bc.",
    "1763881972000-9F3A12BC.1",
    "1-9f3a12b.1",
    "x-9f3a12bc.1",
    "1-9f3a12bc.-1",
    "1-9f3a12bc.1.5",
    "1-9f3a12bc.9007199254740992",
    " 1-9f3a12bc.1",
    "1-9f3a12bc.1e3",
    "99999999999999999-9f3a12bc.1",
  ];
  for (const text of malformed) test(`"${text}" is no cursor`, () => assert.equal(parseCursor(text), undefined));

  test("epochs are ordered by creation, then by the random bits", () => {
    const ordered = [epoch(1, 0xffff_ffff), epoch(2, 0), epoch(2, 1), epoch(10, 0)];
    assert.deepEqual(ordered.toReversed().toSorted(compareEpochs), ordered);
    assert.ok(isSameEpoch(epoch(2, 1), epoch(2n, 1)));
    assert.ok(!isSameEpoch(epoch(2, 1), epoch(2, 0)));
    assert.deepEqual(parseEpoch(printEpoch(epoch(7, 0xabc))), epoch(7, 0xabc));
  });

  for (const value of [-1, 0.5, Number.NaN, 2 ** 53, -1n, 2n ** 60n]) {
    test(`${String(value)} is no revision`, () => assert.throws(() => revision(value), RangeError));
  }
  for (const [ms, random] of [
    [-1, 0],
    [0.5, 0],
    [0, -1],
    [0, 0.5],
    [0, 2 ** 32],
  ] as const) {
    test(`${ms} and ${random} are no epoch`, () => assert.throws(() => epoch(ms, random), RangeError));
  }

  test("the last revision has no next", () => {
    assert.equal(nextRevision(revision(41n)), 42);
    assert.throws(() => nextRevision(revision(Number.MAX_SAFE_INTEGER)), RangeError);
  });
});
