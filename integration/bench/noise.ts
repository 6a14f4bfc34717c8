/** How quiet the machine was: a bench beside other work measures the other work. */
import fs from "node:fs";
import os from "node:os";
import { quantile } from "./quantiles.ts";

export interface Noise {
  /** The same piece of work, before and after the bench. */
  readonly before: Spin;
  readonly after: Spin;
  /** Share of the time that the hypervisor gave to others, percent of all cores. */
  readonly stealPercent: number;
  /** Of one minute, before the bench. */
  readonly loadAverage: number;
}

/** Times of one fixed piece of work. */
export interface Spin {
  readonly p50Us: number;
  /** p99 / p50: 1 on a quiet machine. */
  readonly p99Ratio: number;
}

/** Above these a number says as much about the machine as about the program. */
const limits = { p99Ratio: 1.5, drift: 1.1, stealPercent: 1, loadAverage: 0.7 };
const spins = 400;
const spinSteps = 200_000;

export class NoiseMeter {
  readonly #before = spin();
  readonly #ticksBefore = readTicks();
  readonly #loadAverage = os.loadavg()[0] ?? 0;

  end(): Noise {
    const ticks = readTicks();
    const total = ticks.total - this.#ticksBefore.total;
    return {
      before: this.#before,
      after: spin(),
      stealPercent: total === 0 ? 0 : (100 * (ticks.steal - this.#ticksBefore.steal)) / total,
      loadAverage: this.#loadAverage,
    };
  }
}

/** Why the numbers are to be doubted; empty: the machine was quiet. */
export function doubts({ before, after, stealPercent, loadAverage }: Noise): readonly string[] {
  const drift = Math.max(before.p50Us / after.p50Us, after.p50Us / before.p50Us);
  const ratio = Math.max(before.p99Ratio, after.p99Ratio);
  return [
    ...(loadAverage > limits.loadAverage ? [`load average ${loadAverage.toFixed(2)} before it began`] : []),
    ...(stealPercent > limits.stealPercent
      ? [`${stealPercent.toFixed(1)} % of the time stolen by the hypervisor`]
      : []),
    ...(ratio > limits.p99Ratio ? [`the same work took ${ratio.toFixed(2)} times its median at p99`] : []),
    ...(drift > limits.drift
      ? [`the same work took ${drift.toFixed(2)} times as long at the other end of the run`]
      : []),
  ];
}

function spin(): Spin {
  const timesUs = Array.from({ length: spins }, () => {
    const fromMs = performance.now();
    let mixed = 1;
    for (let i = 0; i < spinSteps; i++) mixed = (Math.imul(mixed, 1_664_525) + 1_013_904_223) | 0;
    // The result is used, so that the work is done.
    return (performance.now() - fromMs) * 1_000 + (mixed === 0 ? 1e-9 : 0);
  }).slice(spins / 8);
  const p50Us = quantile(timesUs, 0.5);
  return { p50Us, p99Ratio: quantile(timesUs, 0.99) / p50Us };
}

function readTicks(): { readonly total: number; readonly steal: number } {
  const fields = fs.readFileSync("/proc/stat", "utf8").split("\n")[0]?.trim().split(/\s+/).slice(1).map(Number) ?? [];
  // user nice system idle iowait irq softirq steal; guest time is part of user time.
  return { total: fields.slice(0, 8).reduce((sum, ticks) => sum + ticks, 0), steal: fields[7] ?? 0 };
}
