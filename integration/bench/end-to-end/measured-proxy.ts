/** A proxy of a node while it is measured: ours with its control plane, or a peer. */
import fs from "node:fs";
import path from "node:path";
import { processUsage } from "../process-usage.ts";

export interface MeasuredProxy {
  readonly name: string;
  /** Number of its node. */
  readonly node: number;
  /** When the process was started with nothing on disk and nothing in the kernel; CLOCK_MONOTONIC, microseconds. */
  readonly startedUs: number;
  /** On the node. */
  readonly agent: ProgramUsage;
  /** Undefined: it asks the API server itself. */
  readonly controlplane: ProgramUsage | undefined;
  /** Nothing is served any more when it resolves. */
  stop(): Promise<void>;
}

/** What a program has used, what it started included. */
export interface ProgramUsage {
  cpuMs(): number;
  residentMb(): number;
}

/** `cgroup`: folder in which the program runs alone. */
export function usageOf(cgroup: string | undefined, pid: number): ProgramUsage {
  return {
    cpuMs: () => {
      const stat = fs.readFileSync(path.join(cgroup ?? "", "cpu.stat"), "utf8");
      return Number(/^usage_usec (\d+)$/m.exec(stat)?.[1]) / 1_000;
    },
    residentMb: () => processUsage(pid).residentMb,
  };
}
