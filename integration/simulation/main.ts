/**
 * `npm run simulate [-- --runs N] [--jobs J] [--from S] [--seed S [--trace]]`: many runs of the protocol's two sides under a seeded clock and
 * network, from seed `--from` on, or one run. A seed that fails is printed with the command that replays it.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Counts } from "./counts.ts";
import { simulateMany } from "./simulate-many.ts";
import { simulate } from "./simulation.ts";
import type { ThreadOutcome } from "./thread.ts";

const failuresMax = 10;
const progressMs = 5_000;
/** Fewer runs need not meet everything. */
const coveringRuns = 500;

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "1000" },
    jobs: { type: "string", default: String(availableParallelism()) },
    from: { type: "string", default: String(Math.floor(Math.random() * 1e9)) },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});
const isReplay = values.seed !== undefined;
const first = whole("--from", values.seed ?? values.from, 0);
const runs = isReplay ? 1 : whole("--runs", values.runs, 1);
const jobs = Math.min(runs, whole("--jobs", values.jobs, 1));

const counts = new Counts();
const failed: ThreadOutcome[] = [];
const begunMs = performance.now();
let saidMs = begunMs;
let [done, events] = [0, 0];

if (isReplay) {
  const say = values.trace ? (line: string): void => void process.stdout.write(`${line}\n`) : undefined;
  const outcome = await simulate(first, say);
  ran({ seed: first, ...outcome, counts: outcome.counts.times });
} else {
  await simulateMany({ first, runs, jobs, failuresMax, ran });
}

for (const { seed, violation } of failed.toSorted((a, b) => a.seed - b.seed)) {
  process.stdout.write(`seed ${seed}: ${violation}\n  replay: npm run simulate -- --seed ${seed} --trace\n`);
}
const seconds = (performance.now() - begunMs) / 1_000;
process.stdout.write(
  `${done} runs from seed ${first}, ${events} events, ${failed.length} failed, ${seconds.toFixed(1)} s\n${counts.print()}\n`,
);
const missing = done < coveringRuns ? [] : counts.missing();
if (missing.length > 0) process.stdout.write(`never met: ${missing.join(", ")}\n`);
process.exitCode = failed.length > 0 || missing.length > 0 ? 1 : 0;

function ran(outcome: ThreadOutcome): void {
  counts.addAll(outcome.counts);
  events += outcome.events;
  done++;
  if (outcome.violation !== undefined) {
    failed.push(outcome);
    // At once: a run that is ended early prints no summary.
    process.stderr.write(`seed ${outcome.seed} failed\n`);
  }
  const nowMs = performance.now();
  if (nowMs - saidMs < progressMs) return;
  saidMs = nowMs;
  process.stderr.write(`${done} of ${runs} runs, ${events} events, ${failed.length} failed\n`);
}

function whole(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  process.stderr.write(`simulate: ${flag} ${text}: a whole number from ${least} on is needed\n`);
  process.exit(2);
}
