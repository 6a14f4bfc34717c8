/** What a process holds in memory, by the kernel and by its own metrics. */
import { setTimeout as delay } from "node:timers/promises";
import type { ProcessPlace } from "../../lab/lab-process.ts";
import { textIn } from "../fed-lab.ts";
import { processUsage } from "../process-usage.ts";

export interface ProcessMemory {
  readonly residentMb: number;
  readonly residentPeakMb: number;
  /** Of JavaScript objects. */
  readonly heapMb: number;
  /** Of buffers and other things that objects stand for. */
  readonly externalMb: number;
}

export interface MeasuredProcess {
  readonly pid: number;
  /** HOST:PORT of its HTTP, as seen from `place`. */
  readonly http: string;
  readonly place: ProcessPlace;
}

/** After this nothing that a process does by itself is to come: heaps are compacted 10 s after a large commit. */
const settleMs = 13_000;

export async function settled(signal: AbortSignal): Promise<void> {
  await delay(settleMs, undefined, { signal });
}

/** Asks the kernel first: answering for the metrics takes memory, too. */
export async function processMemory({ pid, http, place }: MeasuredProcess): Promise<ProcessMemory> {
  const { residentMb, residentPeakMb } = processUsage(pid);
  const metrics = await textIn(place, `http://${http}/metrics`);
  return {
    residentMb,
    residentPeakMb,
    heapMb: megabytesOf(metrics, "nodejs_heap_size_used_bytes"),
    externalMb: megabytesOf(metrics, "nodejs_external_memory_bytes"),
  };
}

/** @throws Error if the text has no such sample. */
export function megabytesOf(metrics: string, name: string): number {
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(metrics)?.[1];
  if (value === undefined) throw new Error(`no metric ${name}`);
  return Number(value) / 1_048_576;
}
