import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { atLeast, atMost } from "./bench.ts";
import type { Row } from "./bench.ts";
import { doubts } from "./noise.ts";
import type { Noise } from "./noise.ts";
import { extremes, median, quantile } from "./quantiles.ts";
import { printBench, printNumber, ratioOf } from "./report.ts";

const quiet: Noise = {
  before: { p50Us: 100, p99Ratio: 1.1 },
  after: { p50Us: 101, p99Ratio: 1.2 },
  stealPercent: 0,
  loadAverage: 0.1,
};

describe("quantiles", () => {
  const cases: readonly (readonly [values: readonly number[], share: number, expected: number])[] = [
    [[7], 0.99, 7],
    [[3, 1, 2], 0, 1],
    [[3, 1, 2], 0.5, 2],
    [[3, 1, 2], 1, 3],
    [[4, 3, 2, 1], 0.5, 2],
    [Array.from({ length: 100 }, (_, i) => 100 - i), 0.99, 99],
  ];
  for (const [values, share, expected] of cases) {
    test(`${share} of ${values.length} values is ${expected}`, () => assert.equal(quantile(values, share), expected));
  }
  test("of nothing are refused", () => assert.throws(() => median([]), RangeError));
  test("extremes", () => assert.deepEqual(extremes([2, 1, 3]), { min: 1, max: 3 }));
});

describe("numbers for people", () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, "0"],
    [0.1234, "0.123"],
    [1.234, "1.23"],
    [12.34, "12.3"],
    [123.4, "123"],
    [250_000, "250,000"],
  ];
  for (const [value, text] of cases) test(text, () => assert.equal(printNumber(value), text));
});

describe("report", () => {
  const row: Row = {
    what: "one change",
    measured: { value: 130, unit: "ms", spread: { min: 120, max: 140 } },
    peer: { name: "http2", value: 100 },
  };
  const printed = (rows: readonly Row[], noise = quiet): string =>
    printBench({ name: "b", title: "t", elapsedMs: 1_000, noise, rows, notes: ["no nft"], uses: { gcc: "12" } });

  test("a ratio is that of the values unless it is given", () => {
    assert.equal(ratioOf(row), 1.3);
    assert.equal(ratioOf({ ...row, ratio: 2 }), 2);
    assert.equal(ratioOf({ what: "", measured: row.measured }), undefined);
  });

  test("shows value, spread, peer, ratio, notes and versions", () => {
    assert.match(printed([row]), /one change {2}130 ms {2}\(120 to 140\) {2}http2 100 ms {2}1\.30x\n/);
    assert.match(printed([row]), /note: no nft\n.*beside gcc 12\)$/s);
  });

  test("says of each goal whether it is met", () => {
    assert.match(printed([{ ...row, goal: atMost(1.3, 1.3, "x") }]), / met <= 1\.3x$/m);
    assert.match(printed([{ ...row, goal: atMost(131, 130, "ms") }]), / MISSED <= 130 ms$/m);
    assert.match(printed([{ ...row, goal: atLeast(49, 50, "x") }]), / MISSED >= 50x$/m);
  });

  const noises: readonly (readonly [string, Partial<Noise>, RegExp | undefined])[] = [
    ["quiet", {}, undefined],
    ["beside other work", { loadAverage: 1.5 }, /load average 1\.50/],
    ["stolen from", { stealPercent: 4 }, /4\.0 % of the time stolen/],
    ["uneven", { after: { p50Us: 100, p99Ratio: 3 } }, /3\.00 times its median/],
    ["throttled", { after: { p50Us: 150, p99Ratio: 1 } }, /1\.50 times as long/],
  ];
  for (const [name, change, doubt] of noises) {
    test(`a machine that is ${name}`, () => {
      const noise = { ...quiet, ...change };
      assert.equal(doubts(noise).length, doubt === undefined ? 0 : 1);
      const text = printed([row], noise);
      if (doubt === undefined) assert.doesNotMatch(text, /NOT QUIET/);
      else assert.match(text, doubt);
    });
  }
});
