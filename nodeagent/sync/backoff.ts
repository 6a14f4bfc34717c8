/** When to try again: 0.2 s doubling to 5 s, with full jitter so that a fleet does not return in step. */

export const backoffFirstMs = 200;
export const backoffMaxMs = 5_000;

/** @param attempt Failures in a row before this wait, from 0. @param jitter From 0 to 1, exclusive. */
export function backoffMs(attempt: number, jitter: number): number {
  return jitter * Math.min(backoffMaxMs, backoffFirstMs * 2 ** Math.min(attempt, 16));
}
