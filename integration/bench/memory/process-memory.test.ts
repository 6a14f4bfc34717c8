import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "@weft/proto/program/metrics.ts";
import { addProcessMetrics } from "@weft/proto/program/process-metrics.ts";
import { megabytesOf } from "./process-memory.ts";

test("heap and buffers are read from what every program exposes", () => {
  const metrics = new Metrics();
  addProcessMetrics(metrics, "test");
  const text = metrics.print();
  for (const name of ["nodejs_heap_size_used_bytes", "nodejs_external_memory_bytes"])
    assert.ok(megabytesOf(text, name) > 1, name);
  assert.throws(() => megabytesOf(text, "nodejs_heap_size"), /no metric nodejs_heap_size/);
});
