import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { addEventLoopDelay } from "./event-loop-delay.ts";
import { Metrics } from "./metrics.ts";

test("a gap of the event loop counts for all that was due in it", async () => {
  const metrics = new Metrics();
  addEventLoopDelay(metrics);
  const untilMs = performance.now() + 130;
  while (performance.now() < untilMs);
  // The look that is overdue comes before this.
  await sleep(1);
  const lines = metrics.print().split("\n");
  const count = (le: string): number =>
    Number(lines.find((line) => line.includes(`event_loop_delay_seconds_bucket{le="${le}"}`))?.split(" ")[1]);
  // Due after 10, 20, … 130 ms, each as late as it was blocked from then on: 120, 110, … 0 ms at least.
  assert.ok(count("+Inf") >= 12, metrics.print());
  assert.ok(count("+Inf") - count("0.05") >= 6, metrics.print());
  assert.ok(count("+Inf") - count("0.1") >= 1, metrics.print());
});
