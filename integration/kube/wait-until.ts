/** Waiting for what other processes will have done. */
import { setTimeout as delay } from "node:timers/promises";

const pollMs = 50;

/**
 * Resolves once `problem` says undefined; it is asked again until then.
 * @throws Error with what it said last, after `limitMs`
 */
export async function waitUntil(problem: () => Promise<string | undefined>, limitMs: number): Promise<void> {
  const began = performance.now();
  for (;;) {
    const said = await problem();
    if (said === undefined) return;
    if (performance.now() - began > limitMs) throw new Error(`after ${limitMs} ms still: ${said}`);
    await delay(pollMs);
  }
}
