import assert from "node:assert/strict";
import { test } from "node:test";
import { addCounts, groupSuites, noCounts, printTable, printTotal } from "./test-suites.ts";

test("files are grouped by workspace and suffix, kernel and kube suites one at a time and last", () => {
  const suites = groupSuites([
    "nodeagent/a.kernel.test.ts",
    "integration/a.kube.test.ts",
    "proto/b.test.ts",
    "proto/a.test.ts",
    "proto/a.property.test.ts",
  ]);
  assert.deepEqual(
    suites.map(({ name, need, isSerial, files }) => [name, need, isSerial, files.length]),
    [
      ["proto property", "nothing", false, 1],
      ["proto", "nothing", false, 2],
      ["integration kube", "kube", true, 1],
      ["nodeagent kernel", "kernel", true, 1],
    ],
  );
});

test("the table has a row for each suite, and the total is in the form that tools look for", () => {
  const counts = addCounts(
    { passed: 2, failed: 1, skipped: 0 },
    addCounts(noCounts, { passed: 1, failed: 0, skipped: 4 }),
  );
  assert.deepEqual(printTable([["proto", counts, 1.25]]).split("\n"), [
    "suite  passed  failed  skipped   time",
    "proto       3       1        4    1.3s",
  ]);
  assert.equal(printTotal(counts), "3 passed, 1 failed, 4 skipped");
});
