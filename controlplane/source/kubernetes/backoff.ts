/** How long to wait after failures that follow each other; after client-go's reflector. Pure; milliseconds of any clock. */

export interface BackoffLimits {
  readonly backoffFirstMs: number;
  readonly backoffMostMs: number;
}

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

/** From the first doubling to the most, and up to as much again by `jitter`, at least 0 and below 1. */
export function delayMs(
  { failures }: Backoff,
  jitter: number,
  { backoffFirstMs, backoffMostMs }: BackoffLimits,
): number {
  const base = Math.min(backoffMostMs, backoffFirstMs * 2 ** Math.min(failures - 1, 10));
  return Math.min(backoffMostMs, Math.round(base * (1 + jitter)));
}
