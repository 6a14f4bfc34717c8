/** What a bench is: it measures, says what it reached beside a peer or a limit in the same run, and leaves nothing behind. */
import type { LabProcess } from "../lab/lab-process.ts";

export interface Bench {
  /** As selected on the command line: `fan-out`. */
  readonly name: string;
  /** One line for people: what is measured. */
  readonly title: string;
  /** Too long for the quick run: it takes part when it is named, or with `--full`. */
  readonly isLong?: boolean;
  /**
   * Rejects only if it could not run. A peer that this machine lacks is a `note` with the remedy. Once `context.signal` aborts it
   * ends soon, with whatever it throws.
   */
  run(context: BenchContext): Promise<readonly Row[]>;
}

export interface BenchContext {
  /** More of everything: `--full`. */
  readonly isFull: boolean;
  /** Asked for with `--peer`; undefined: only the peers that cost little. */
  readonly peer: string | undefined;
  /** Scratch of this run; removed when it ends, however it ends. */
  readonly folder: string;
  /** Name for a lab of this run (`createLab`); no other run has it. */
  readonly lab: string;
  readonly signal: AbortSignal;
  /** One line of progress, for people who wait. */
  readonly say: (progress: string) => void;
  /** One line under the table: what was left out and why, with the remedy. */
  readonly note: (text: string) => void;
  /** A program beside ours, and its version: shown with the machine. */
  readonly uses: (program: string, version: string) => void;
  /** Starts a process that ends with this run at the latest. `command`: a program and its arguments. */
  readonly start: (name: string, command: readonly string[]) => LabProcess;
}

/** One line of the table. */
export interface Row {
  /** What was measured, with its size: "commit to last ack, 5,000 agents". */
  readonly what: string;
  readonly measured: Measured;
  /** The same measured on another program, or a limit, in the same run; the unit is that of `measured`. */
  readonly peer?: { readonly name: string; readonly value: number };
  /** Of `measured` to `peer`. Default, where there is a peer: the quotient of their values. */
  readonly ratio?: number;
  readonly goal?: Goal;
}

export interface Measured {
  readonly value: number;
  readonly unit: Unit;
  readonly spread?: Spread;
}

export type Unit = "us" | "ms" | "s" | "bytes" | "KB" | "MB" | "%" | "x" | "1/s" | "";

/** How far single values lie apart: the extremes of rounds, or quantiles of many values. */
export type Spread = { readonly min: number; readonly max: number } | { readonly p50: number; readonly p99: number };

export interface Goal {
  /** As people read it: "<= 1.3x". */
  readonly text: string;
  readonly isMet: boolean;
}

/** The goal that `value` is at most `limit`. */
export function atMost(value: number, limit: number, unit: Unit): Goal {
  return { text: `<= ${limit}${unit === "x" || unit === "%" ? "" : " "}${unit}`, isMet: value <= limit };
}

/** The goal that `value` is at least `limit`. */
export function atLeast(value: number, limit: number, unit: Unit): Goal {
  return { text: `>= ${limit}${unit === "x" || unit === "%" ? "" : " "}${unit}`, isMet: value >= limit };
}
