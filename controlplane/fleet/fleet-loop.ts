/** Runs the clock of the fleet: answers waits soon after something changed, at their deadlines, and once a second. */
import { setTimeout as sleep } from "node:timers/promises";
import { unixMs } from "@weft/proto/program/clock.ts";
import type { Fleet } from "./fleet.ts";

/** Changes within this time are evaluated together: thousands of acks come at once. */
const evaluateDelayMsMin = 2;
const evaluateDelayMsMax = 60;
/** Pause before an evaluation, in durations of the last one: waits cost a fifth of a core, however many are open. */
const evaluateDelayShare = 4;
const idleMs = 1_000;

/** @param tookMs What the last evaluation took. */
export function evaluateDelayMs(tookMs: number): number {
  return Math.min(evaluateDelayMsMax, Math.max(evaluateDelayMsMin, tookMs * evaluateDelayShare));
}

/** Runs until `signal` aborts. */
export async function runFleet(fleet: Fleet, signal: AbortSignal): Promise<void> {
  let wake = Promise.withResolvers<void>();
  const unsubscribe = fleet.subscribe((event) => {
    if (fleet.waitsOpen > 0 && !(event.kind === "ack" && !event.isNew)) wake.resolve();
  });
  // No promise that lasts may be raced: each race would leave a reaction on it, 25 MB a day.
  signal.addEventListener("abort", () => wake.resolve(), { once: true });
  let tookMs = 0;
  while (!signal.aborted) {
    const untilMs = Math.min(idleMs, Math.max(0, (fleet.nextDeadlineMs ?? Infinity) - unixMs()));
    const timer = new AbortController();
    await Promise.race([wake.promise, sleep(untilMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
    timer.abort();
    if (fleet.waitsOpen > 0) await sleep(evaluateDelayMs(tookMs));
    wake = Promise.withResolvers<void>();
    const fromMs = unixMs();
    fleet.evaluate(fromMs);
    tookMs = unixMs() - fromMs;
  }
  unsubscribe();
}
