import assert from "node:assert/strict";
import { test } from "node:test";
import type { Revision } from "@weft/proto/cursor.ts";
import { ServiceChanges } from "./service-changes.ts";

const at = (revision: number): Revision => revision as Revision;

test("a service changed between two revisions if and only if a commit there touched it", () => {
  const changes = new ServiceChanges();
  for (const revision of [3, 7]) changes.changed(1n, at(revision));
  const cases: readonly (readonly [after: number, upTo: number, expected: boolean])[] = [
    [0, 2, false],
    [0, 3, true],
    [3, 6, false],
    [3, 7, true],
    [7, 100, false],
    [7, 5, false],
  ];
  for (const [after, upTo, expected] of cases) {
    assert.equal(changes.hasChanged(1n, at(after), at(upTo)), expected, `(${after}, ${upTo}]`);
  }
  assert.equal(changes.hasChanged(2n, at(0), at(100)), false);
});

test("what is no longer remembered counts as changed", () => {
  const changes = new ServiceChanges();
  for (let revision = 1; revision <= 20; revision++) changes.changed(1n, at(revision));
  assert.equal(changes.hasChanged(1n, at(5), at(6)), true);
  assert.equal(changes.hasChanged(1n, at(20), at(30)), false);
  assert.equal(changes.hasChanged(1n, at(5), at(5)), false);
});
