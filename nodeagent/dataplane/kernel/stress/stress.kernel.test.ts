import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { kernelTestsSkipped, makeKernelLab, type KernelLab } from "../testing/kernel-lab.ts";
import { runStress, type StressOutcome } from "./run-stress.ts";
import { writings, type Breakage, type Writing } from "./stress-case.ts";

const ms = Number(process.env["WEFT_STRESS_MS"] ?? 1_500);
/** A broken form gets this long to be noticed. */
const brokenMsMax = 20_000;

// The second look closes a window of nanoseconds that opens a few times in 10^8 reads: bench/ shows it, not every test run.
const broken: readonly (readonly [Breakage, Writing, keyof StressOutcome["tally"]])[] = [
  ["older-must-be-active", "hot", "missed"],
  ["twice-into-the-other", "hot", "early"],
  ["zero-on-rollback", "rollbacks", "missed"],
  ["no-grace", "hot", "torn"],
];

describe("the atomic step under hot writers and readers", { skip: kernelTestsSkipped() }, () => {
  let lab: KernelLab;
  before(() => {
    lab = makeKernelLab();
  });
  after(() => lab[Symbol.dispose]());

  for (const writing of writings) {
    it(`is right in every read: ${writing}`, async (t) => {
      const { revisions, tally, connects, wrong } = await runStress(lab.place(), writing, "none", ms);
      t.diagnostic(`${revisions} revisions, reader ${JSON.stringify(tally)}, connects ${JSON.stringify(connects)}`);
      assert.ok(tally.reads > 0 && connects.reads > 0 && revisions > 10, "nothing was tested");
      assert.equal(wrong, 0);
    });
  }

  for (const [breakage, writing, expected] of broken) {
    it(`is seen to fail when broken: ${breakage}`, async (t) => {
      let seen = 0;
      for (let spentMs = 0; seen === 0 && spentMs < brokenMsMax; spentMs += ms) {
        const { revisions, tally, wrong } = await runStress(lab.place(), writing, breakage, ms);
        t.diagnostic(`${revisions} revisions, ${wrong} wrong: ${JSON.stringify(tally)}`);
        seen = wrong;
      }
      assert.ok(seen > 0, `no wrong read, not even ${expected}`);
    });
  }
});
