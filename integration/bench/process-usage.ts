/** What a process has used, as the kernel counts it. */
import fs from "node:fs";

export interface ProcessUsage {
  /** User and system time of all its threads. */
  readonly cpuMs: number;
  readonly residentMb: number;
  /** Most that was ever resident. */
  readonly residentPeakMb: number;
}

/** Clock ticks a second in /proc; the same on every Linux (USER_HZ). */
const tickHz = 100;

/** @throws Error if there is no such process. */
export function processUsage(pid: number): ProcessUsage {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
  // Fields 14 and 15; the name before them may hold blanks, so fields are counted behind its closing parenthesis.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  return {
    cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1_000) / tickHz,
    residentMb: kilobytes("VmRSS") / 1_024,
    residentPeakMb: kilobytes("VmHWM") / 1_024,
  };
}

/** CPU time of one thread group in milliseconds, exact to the microsecond: for short spans. Sums its threads that live. */
export function cpuTimeMs(pid: number): number {
  return threadTimesMs(pid)
    .values()
    .reduce((sum, { cpuMs }) => sum + cpuMs, 0);
}

/** CPU time of each thread of a process, in milliseconds, by thread id. */
export function threadTimesMs(pid: number): ReadonlyMap<number, { readonly name: string; readonly cpuMs: number }> {
  const threads = new Map<number, { name: string; cpuMs: number }>();
  for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
    try {
      const name = fs.readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8").trim();
      const [ns] = fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
      threads.set(Number(thread), { name, cpuMs: Number(ns) / 1e6 });
    } catch {
      // It ended meanwhile.
    }
  }
  return threads;
}
