/**
 * `npm run simulate [-- --runs N] [--seed S] [--trace]`: many runs of the protocol's two sides under a seeded clock and network. A seed
 * that fails is printed with the command that replays it.
 */
import { parseArgs } from "node:util";
import { Counts } from "./counts.ts";
import { simulate } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "1000" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});
const isReplay = values.seed !== undefined;
const first = isReplay ? Number(values.seed) : Math.floor(Math.random() * 1e9);
const runs = isReplay ? 1 : Number(values.runs);
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(runs) || runs < 1) {
  process.stderr.write("simulate: --seed and --runs are whole numbers, and --runs at least 1\n");
  process.exit(2);
}

const say = values.trace ? (line: string): void => void process.stdout.write(`${line}\n`) : undefined;
const counts = new Counts();
const begunMs = performance.now();
let events = 0;
const failed: number[] = [];
for (let i = 0; i < runs && failed.length < 10; i++) {
  const seed = first + i;
  const outcome = await simulate(seed, say);
  counts.addAll(outcome.counts);
  events += outcome.events;
  if (outcome.violation !== undefined) {
    failed.push(seed);
    process.stdout.write(`seed ${seed}: ${outcome.violation}\n  replay: npm run simulate -- --seed ${seed} --trace\n`);
  }
  if ((i + 1) % 500 === 0)
    process.stderr.write(`${i + 1} of ${runs} runs, ${events} events, ${failed.length} failed\n`);
}
const seconds = (performance.now() - begunMs) / 1_000;
process.stdout.write(
  `${runs} runs from seed ${first}, ${events} events, ${failed.length} failed, ${seconds.toFixed(1)} s\n${counts.print()}\n`,
);
const missing = runs < 500 ? [] : counts.missing();
if (missing.length > 0) process.stdout.write(`never met: ${missing.join(", ")}\n`);
process.exitCode = failed.length > 0 || missing.length > 0 ? 1 : 0;
