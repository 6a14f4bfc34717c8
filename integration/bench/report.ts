/** The results: a table for people, JSON for machines. */
import type { Measured, Row } from "./bench.ts";
import type { Machine } from "./machine.ts";
import { doubts } from "./noise.ts";
import type { Noise } from "./noise.ts";

export interface Report {
  readonly format: 1;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly isFull: boolean;
  readonly machine: Machine;
  readonly benches: readonly BenchReport[];
}

export interface BenchReport {
  readonly name: string;
  readonly title: string;
  readonly elapsedMs: number;
  readonly noise: Noise;
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
  /** Versions of the programs beside ours. */
  readonly uses: Readonly<Record<string, string>>;
  /** Why it could not run. */
  readonly error?: string;
}

export function printMachine({ cpu, cores, memoryMb, kernel, node, system }: Machine): string {
  return `${cores} x ${cpu}, ${(memoryMb / 1_024).toFixed(1)} GiB, ${system}, Linux ${kernel}, Node ${node}`;
}

export function printBench(bench: BenchReport): string {
  const { before, after, stealPercent } = bench.noise;
  const spins = [before, after].map(({ p50Us, p99Ratio }) => `${p50Us.toFixed(0)} us p99 ${p99Ratio.toFixed(2)}x`);
  const uses = Object.entries(bench.uses).map(([program, version]) => `${program} ${version}`);
  return [
    `${bench.name}: ${bench.title}`,
    ...table(bench.rows.map(cellsOf)).map((line) => `  ${line}`),
    ...(bench.error === undefined ? [] : [`  COULD NOT RUN: ${bench.error}`]),
    ...bench.notes.map((note) => `  note: ${note}`),
    ...doubts(bench.noise).map((doubt) => `  NOT QUIET: ${doubt}`),
    `  (${(bench.elapsedMs / 1_000).toFixed(0)} s; noise ${spins.join(", then ")}, steal ${stealPercent.toFixed(1)} %` +
      `${uses.length === 0 ? "" : `; beside ${uses.join(", ")}`})`,
  ].join("\n");
}

/** What was measured to its peer; undefined without one. */
export function ratioOf({ measured, peer, ratio }: Row): number | undefined {
  return ratio ?? (peer === undefined || peer.value === 0 ? undefined : measured.value / peer.value);
}

function cellsOf(row: Row): readonly string[] {
  const { what, measured, peer, goal } = row;
  const ratio = ratioOf(row);
  return [
    what,
    `${printNumber(measured.value)}${unitOf(measured)}`,
    printSpread(measured),
    peer === undefined ? "" : `${peer.name} ${printNumber(peer.value)}${unitOf(measured)}`,
    ratio === undefined ? "" : `${ratio.toFixed(2)}x`,
    goal === undefined ? "" : `${goal.isMet ? "met" : "MISSED"} ${goal.text}`,
  ];
}

function printSpread({ spread }: Measured): string {
  if (spread === undefined) return "";
  return "min" in spread
    ? `(${printNumber(spread.min)} to ${printNumber(spread.max)})`
    : `(p50 ${printNumber(spread.p50)}, p99 ${printNumber(spread.p99)})`;
}

function unitOf({ unit }: Measured): string {
  return unit === "x" || unit === "" ? unit : ` ${unit}`;
}

/** Three digits that count, thousands apart. */
export function printNumber(value: number): string {
  const magnitude = Math.abs(value);
  const digits = magnitude >= 100 || magnitude === 0 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// Columns as wide as they must be; a column that is empty everywhere is left out.
function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .filter((_, column) => widths[column] !== 0)
      .join("  ")
      .trimEnd(),
  );
}
