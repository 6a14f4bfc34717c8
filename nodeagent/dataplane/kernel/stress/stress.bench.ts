/**
 * Program: the stress test at length, one line per case, also the breakage that only many reads show. Ends with 1 if a right
 * form was wrong or a broken one was not noticed. `node stress.bench.ts [seconds per case]`
 */
import { makeKernelLab } from "../testing/kernel-lab.ts";
import { runStress } from "./run-stress.ts";
import { writings, type Breakage, type Writing } from "./stress-case.ts";

const seconds = Number(process.argv[2] ?? 10);

const cases: readonly (readonly [Writing, Breakage])[] = [
  ...writings.map((writing) => [writing, "none"] as const),
  ["hot", "no-second-look"],
  ["hot", "older-must-be-active"],
  ["hot", "twice-into-the-other"],
  ["rollbacks", "zero-on-rollback"],
  ["hot", "no-grace"],
];

using lab = makeKernelLab();
for (const [writing, breakage] of cases) {
  const { revisions, tally, connects, wrong } = await runStress(lab.place(), writing, breakage, seconds * 1_000);
  const { reads, missed, stale, early, foreign, torn } = tally;
  const found = Object.entries({ missed, stale, early, foreign, torn }).filter(([, count]) => count > 0);
  const what = found.map(([name, count]) => `${name} ${count}`).join(", ") || "none wrong";
  const connected = `${connects.reads} connects, wrong ${connects.missed + connects.stale + connects.early}`;
  console.log(
    `${writing.padEnd(9)} broken: ${breakage.padEnd(22)} ${revisions} revisions; ${reads} reads: ${what}; ${connected}`,
  );
  if ((breakage === "none") !== (wrong === 0)) process.exitCode = 1;
}
