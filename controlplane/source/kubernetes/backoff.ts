/** How long to wait after failures that follow each other; after client-go's reflector. Pure; milliseconds of any clock. */

const firstMs = 800;
const mostMs = 30_000;
/** Without a failure for this long the next one is the first again. */
const forgetAfterMs = 120_000;

export interface Backoff {
  /** In a row. */
  readonly failures: number;
  readonly lastMs: number;
}

export const noFailures: Backoff = { failures: 0, lastMs: 0 };

/** One failure more. */
export function failedAgain(backoff: Backoff, nowMs: number): Backoff {
  const isFirst = backoff.failures === 0 || nowMs - backoff.lastMs > forgetAfterMs;
  return { failures: isFirst ? 1 : backoff.failures + 1, lastMs: nowMs };
}

/** 0.8 s doubling to 30 s, and up to as much again by `jitter`, at least 0 and below 1. */
export function delayMs({ failures }: Backoff, jitter: number): number {
  const base = Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 10));
  return Math.min(mostMs, Math.round(base * (1 + jitter)));
}
