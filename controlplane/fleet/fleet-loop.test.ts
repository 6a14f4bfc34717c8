import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluateDelayMs } from "./fleet-loop.ts";

const pauses: readonly (readonly [tookMs: number, pauseMs: number])[] = [
  [0, 2],
  [1, 4],
  [10, 40],
  [10_000, 60],
];
for (const [tookMs, pauseMs] of pauses) {
  test(`after an evaluation of ${tookMs} ms the next is ${pauseMs} ms later`, () => {
    assert.equal(evaluateDelayMs(tookMs), pauseMs);
  });
}
