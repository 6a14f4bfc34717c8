import assert from "node:assert/strict";
import { test } from "node:test";
import { ScanBell, scanDueMs } from "./scan-bell.ts";

const table: readonly { name: string; firstMs: number | undefined; lastMs: number; latestMs: number; dueMs: number }[] =
  [
    { name: "without an event at the latest", firstMs: undefined, lastMs: 0, latestMs: 5_000, dueMs: 5_000 },
    { name: "20 ms after one event", firstMs: 1_000, lastMs: 1_000, latestMs: 5_000, dueMs: 1_020 },
    { name: "20 ms after the last event", firstMs: 1_000, lastMs: 1_150, latestMs: 5_000, dueMs: 1_170 },
    { name: "at most 200 ms after the first", firstMs: 1_000, lastMs: 1_199, latestMs: 5_000, dueMs: 1_200 },
    { name: "not later than another look is due", firstMs: 1_000, lastMs: 1_000, latestMs: 1_010, dueMs: 1_010 },
  ];
for (const { name, firstMs, lastMs, latestMs, dueMs } of table) {
  test(`a scan is due ${name} (S27)`, () => assert.equal(scanDueMs(firstMs, lastMs, latestMs), dueMs));
}

test("a ring before the wait counts, an abort ends it", async () => {
  const bell = new ScanBell();
  bell.ring();
  await bell.due(3_600_000, new AbortController().signal);
  await bell.due(3_600_000, AbortSignal.abort());
});
