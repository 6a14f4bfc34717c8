/** Quantiles of measured values, by nearest rank: each is a value that was measured. */
import type { Spread } from "./bench.ts";

/** @throws RangeError if there are no values. `share`: 0 to 1. */
export function quantile(values: Iterable<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("no value was measured");
  return value;
}

export function median(values: Iterable<number>): number {
  return quantile(values, 0.5);
}

export function extremes(values: Iterable<number>): Spread {
  return { min: quantile(values, 0), max: quantile(values, 1) };
}

export function tail(values: Iterable<number>): Spread {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99) };
}
