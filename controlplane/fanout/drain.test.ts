import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { returnTimes } from "./drain.ts";

describe("when agents come back after a shutdown", () => {
  test("few: by their own backoff", () => {
    assert.deepEqual(
      returnTimes(3, 1_000, () => 0.5),
      [0, 0, 0],
    );
    assert.deepEqual(
      returnTimes(0, 1_000, () => 0.5),
      [],
    );
  });

  test("many: over a window that grows with them, as many in each part of it", () => {
    const times = returnTimes(5_000, 1_000, () => 0.5);
    assert.equal(Math.max(...times) <= 5_000, true);
    for (let second = 0; second < 5; second++) {
      assert.equal(times.filter((ms) => ms > second * 1_000 && ms <= (second + 1) * 1_000).length, 1_000);
    }
    assert.equal(times.includes(0), false, "0 would mean: by your own backoff");
  });
});
