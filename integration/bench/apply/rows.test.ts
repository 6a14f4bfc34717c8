import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterOf } from "../cluster.ts";
import { ratioOf } from "../report.ts";
import { applyRows } from "./rows.ts";
import type { Applied } from "./rows.ts";
import { changingServices } from "./weft-cluster.ts";

const applied = (services: number, us: readonly number[]): Applied => ({
  shape: clusterOf(services, 25),
  changes: us.map((receivedToActiveUs) => ({ receivedToActiveUs, commitToAckUs: 2_000, deltaBytes: 77 })),
});
const rules = { program: "nft 1", call: "one nft -f -", shape: clusterOf(10_000, 25), ms: [60, 50, 70] };

const goals: readonly { readonly name: string; readonly large: readonly number[]; readonly met: readonly boolean[] }[] =
  [
    { name: "fast", large: [400, 500, 600], met: [true, true, true, true] },
    { name: "one slow change of three", large: [400, 500, 6_000], met: [true, false, true, true] },
    { name: "slow", large: [1_200, 1_300, 1_400], met: [false, true, false, false] },
  ];

for (const { name, large, met } of goals) {
  test(`goals of apply: ${name}`, () => {
    const rows = applyRows(applied(10_000, large), applied(100, [500, 500, 500]), [rules]);
    assert.deepEqual(
      rows.flatMap(({ goal }) => (goal === undefined ? [] : [goal.isMet])),
      met,
    );
  });
}

test("how often a program takes as long as Weft", () => {
  const row = applyRows(applied(10_000, [500]), applied(100, [500]), [rules]).at(-1);
  assert.ok(row !== undefined);
  assert.equal(ratioOf(row), 120);
});

test("services that change are spread over the cluster", () => {
  assert.deepEqual(changingServices(5, 3), [0, 2, 4]);
  assert.deepEqual(changingServices(2, 3), [0, 1]);
  assert.deepEqual(changingServices(1, 3), [0]);
  const many = changingServices(10_000);
  assert.equal(new Set(many).size, many.length);
  assert.equal(many.at(-1), 9_999);
});
