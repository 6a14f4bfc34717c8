/** Runs seeds in several threads, which take them a few at a time. */
import { Worker } from "node:worker_threads";
import type { ThreadOutcome } from "./thread.ts";

/** A thread asks for so many seeds at once. */
const seedsPerTurn = 16;

export interface ManyOptions {
  readonly first: number;
  readonly runs: number;
  readonly jobs: number;
  /** After so many no more seeds are taken. */
  readonly failuresMax: number;
  readonly ran: (outcome: ThreadOutcome) => void;
}

/** Rejects if a thread ends by an error. */
export async function simulateMany({ first, runs, jobs, failuresMax, ran }: ManyOptions): Promise<void> {
  let next = first;
  let failures = 0;
  const take = (): readonly number[] => {
    const count = failures >= failuresMax ? 0 : Math.min(seedsPerTurn, first + runs - next);
    const seeds = Array.from({ length: count }, (_, i) => next + i);
    next += count;
    return seeds;
  };
  const threads = Array.from({ length: jobs }, () =>
    runThread(take, (outcome) => {
      if (outcome.violation !== undefined) failures++;
      ran(outcome);
    }),
  );
  await Promise.all(threads);
}

async function runThread(take: () => readonly number[], ran: (outcome: ThreadOutcome) => void): Promise<void> {
  const worker = new Worker(new URL("thread.ts", import.meta.url));
  const ended = Promise.withResolvers<void>();
  const give = (): void => {
    const seeds = take();
    if (seeds.length > 0) worker.postMessage(seeds, []);
    else ended.resolve();
  };
  worker.on("error", ended.reject);
  worker.on("message", (outcomes: readonly ThreadOutcome[]) => {
    for (const outcome of outcomes) ran(outcome);
    give();
  });
  give();
  try {
    await ended.promise;
  } finally {
    await worker.terminate();
  }
}
