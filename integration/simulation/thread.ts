/** A thread that runs seeds one after the other, as it is told to: virtual time replaces the clock of a whole thread. */
import { parentPort } from "node:worker_threads";
import type { CountedTimes } from "./counts.ts";
import { simulate } from "./simulation.ts";

export interface ThreadOutcome {
  readonly seed: number;
  readonly counts: CountedTimes;
  readonly events: number;
  readonly violation: string | undefined;
}

const port = parentPort;
if (port === null) throw new Error("thread.ts is started by `npm run simulate` only");
port.on("message", (seeds: readonly number[]) => void run(seeds));

async function run(seeds: readonly number[]): Promise<void> {
  const outcomes: ThreadOutcome[] = [];
  for (const seed of seeds) {
    const { counts, events, violation } = await simulate(seed);
    outcomes.push({ seed, counts: counts.times, events, violation });
  }
  port?.postMessage(outcomes);
}
