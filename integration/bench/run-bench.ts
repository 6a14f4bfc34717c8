/** Runs one bench between two looks at the machine's noise. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, BenchContext } from "./bench.ts";
import { NoiseMeter } from "./noise.ts";
import type { BenchReport } from "./report.ts";
import { Scratch } from "./scratch.ts";

export interface BenchChoice extends Pick<BenchContext, "isFull" | "peer" | "signal"> {
  readonly say: (progress: string) => void;
}

/** How long a bench may take to end once the signal aborts; what it leaves then is removed with its processes. */
const stopWaitMs = 10_000;
/** The kernel takes down thousands of sockets of what has just ended: that is not noise of others. */
const calmMs = 1_000;

export async function runBench(bench: Bench, { say, ...choice }: BenchChoice): Promise<BenchReport> {
  const notes: string[] = [];
  const uses: Record<string, string> = {};
  const noise = new NoiseMeter();
  const beganMs = performance.now();
  const result = await inScratch(async (scratch) =>
    bench.run({
      ...choice,
      folder: scratch.folder,
      lab: scratch.lab,
      say: (progress) => say(`${bench.name}: ${progress}`),
      note: (text) => notes.push(text),
      uses: (program, version) => (uses[program] = version),
      start: (name, command) => scratch.start(name, command),
    }),
  );
  const elapsedMs = performance.now() - beganMs;
  await sleep(calmMs);
  return { name: bench.name, title: bench.title, elapsedMs, noise: noise.end(), notes, uses, ...result };

  async function inScratch(
    run: (scratch: Scratch) => ReturnType<Bench["run"]>,
  ): Promise<Pick<BenchReport, "rows" | "error">> {
    await using scratch = new Scratch();
    try {
      return { rows: await abandoned(run(scratch), choice.signal) };
    } catch (error) {
      return { rows: [], error: error instanceof Error ? error.message : String(error) };
    }
  }
}

// Rejects some time after `signal` aborted if `running` has not ended by then.
async function abandoned<T>(running: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    timer = setTimeout(() => reject(new Error("interrupted")), stopWaitMs);
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([running, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}
