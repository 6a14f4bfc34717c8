/** Quantiles of a Prometheus histogram between two looks at it. Pure. */

/** Metrics by name, with their labels as printed. */
type Samples = Readonly<Record<string, number>>;

/**
 * The least bound of a bucket below which that share of what was observed in between lies: "at most so much".
 * @throws RangeError if nothing was observed.
 */
export function bucketQuantile(name: string, share: number, before: Samples, after: Samples): number {
  const prefix = `${name}_bucket{le="`;
  const buckets = Object.entries(after)
    .filter(([sample]) => sample.startsWith(prefix))
    .map(([sample, count]) => ({
      bound: boundOf(sample.slice(prefix.length, sample.indexOf('"', prefix.length))),
      count: count - (before[sample] ?? 0),
    }))
    .toSorted((a, b) => a.bound - b.bound);
  const total = buckets.at(-1)?.count ?? 0;
  if (total === 0) throw new RangeError(`${name}: nothing was observed`);
  return buckets.find(({ count }) => count >= share * total)?.bound ?? Number.POSITIVE_INFINITY;
}

function boundOf(text: string): number {
  return text === "+Inf" ? Number.POSITIVE_INFINITY : Number(text);
}
