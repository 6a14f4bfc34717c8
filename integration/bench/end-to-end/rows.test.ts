import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProxyNumbers } from "./measure-proxy.ts";
import { bytesRow, growthRow, rowsOf } from "./rows.ts";

function numbersOf(name: string, services: number, factor: number): ProxyNumbers {
  const isWeft = name === "Weft";
  const times = Array.from({ length: 100 }, (_, i) => (i + 1) * factor);
  const of = (liveMs: readonly number[]): ProxyNumbers["quiet"] => ({
    liveMs,
    connects: 1_000,
    failed: 0,
    cpuMs: { agent: factor, controlplane: isWeft ? 2 * factor : undefined },
  });
  return {
    name,
    services,
    coldMs: 1_000 * factor,
    quiet: of(times.map((time) => time / 10)),
    steady: of(times),
    residentMb: { agent: 100 * factor, controlplane: isWeft ? 200 : undefined },
  };
}

test("a goal is met at its limit and missed beyond it", () => {
  const goals = rowsOf(numbersOf("Weft", 1_000, 1), undefined).map(({ what, measured, goal }) => [
    what,
    measured.value,
    goal === undefined ? "" : `${goal.isMet ? "met" : "missed"} ${goal.text}`,
  ]);
  assert.deepEqual(goals, [
    ["live, quiet, p50, 1,000 x 10", 5, "met <= 10 ms"],
    ["live, quiet, p99", 9.9, "met <= 30 ms"],
    ["live, 20 changes/s, p50", 50, "missed <= 15 ms"],
    ["live, 20 changes/s, worst", 100, "met <= 150 ms"],
    ["node CPU per quiet change", 1, "met <= 5 ms"],
    ["node CPU per change, 20 changes/s", 1, ""],
    ["control plane CPU per quiet change", 2, ""],
    ["cold agent started to first connect", 1, "met <= 3 s"],
    ["RSS on the node", 100, ""],
    ["RSS of the control plane", 200, ""],
  ]);
});

test("a peer stands beside what it has too", () => {
  const rows = rowsOf(numbersOf("Weft", 1_000, 1), numbersOf("kube-proxy", 1_000, 10));
  assert.deepEqual(
    rows.map(({ peer }) => peer?.value),
    [50, 99, 500, 1_000, 10, 10, undefined, 10, 1_000, undefined],
  );
});

test("CPU that grows with the number of services is a goal missed", () => {
  const small = numbersOf("Weft", 1_000, 1);
  assert.equal(growthRow(small, numbersOf("Weft", 10_000, 1.2)).goal?.isMet, true);
  assert.equal(growthRow(small, numbersOf("Weft", 10_000, 1.3)).goal?.isMet, false);
});

test("bytes to a node stand beside those of the API's event", () => {
  const { measured, peer } = bytesRow({ endpoints: 100, delta: 77, event: 12_667 });
  assert.deepEqual([measured.value, measured.unit, peer?.value], [77, "bytes", 12_667]);
});
