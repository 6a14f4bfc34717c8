import assert from "node:assert/strict";
import { test } from "node:test";
import { bucketQuantile } from "./bucket-quantile.ts";

// Cumulative, as Prometheus has them.
const samplesOf = (...counts: readonly number[]): Readonly<Record<string, number>> =>
  Object.fromEntries(["+Inf", "0.5", "0.01", "0.1"].map((le, i) => [`gap_seconds_bucket{le="${le}"}`, counts[i] ?? 0]));

const before = samplesOf(100, 100, 100, 100);
const quantiles = [
  { what: "all in the first bucket", after: samplesOf(200, 200, 200, 200), share: 0.99, expected: 0.01 },
  { what: "one of a hundred above", after: samplesOf(200, 200, 199, 200), share: 0.99, expected: 0.01 },
  { what: "two of a hundred above", after: samplesOf(200, 200, 198, 200), share: 0.99, expected: 0.1 },
  { what: "the largest of all", after: samplesOf(200, 200, 150, 199), share: 1, expected: 0.5 },
  { what: "above all bounds", after: samplesOf(200, 150, 120, 130), share: 0.99, expected: Number.POSITIVE_INFINITY },
] as const;

for (const { what, after, share, expected } of quantiles) {
  test(`${what}: the bound of the bucket that holds the ${share} quantile of what came since`, () => {
    assert.equal(bucketQuantile("gap_seconds", share, before, after), expected);
  });
}

test("without any observation there is no quantile", () => {
  assert.throws(() => bucketQuantile("gap_seconds", 0.5, before, before), /gap_seconds: nothing was observed/);
});
