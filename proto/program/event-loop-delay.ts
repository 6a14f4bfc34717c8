/** How late the event loop is, as a metric. It costs a hundred wake-ups a second: for programs that do not sleep anyway. */
import type { Histogram, Metrics } from "./metrics.ts";

const everyMs = 10;
/** Seconds. Timers of Node are up to 1 ms late by themselves. */
const bounds: readonly number[] = [
  0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009, 0.01, 0.0125, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5,
  1, 2.5, 5,
];

/** Of this thread. */
export function addEventLoopDelay(metrics: Metrics): void {
  const help =
    "How late the event loop of the main thread was for something that was due, looked at every 10 ms, seconds.";
  const delay = eventLoopDelay(metrics, "weft_process_event_loop_delay_seconds", help);
  watchEventLoopDelay((seconds) => delay.observe(seconds));
}

export function eventLoopDelay(metrics: Metrics, name: string, help: string): Histogram {
  return metrics.histogram({ name, help }, bounds);
}

/** Tells how late this thread was, each 10 ms, for as long as it lives. */
export function watchEventLoopDelay(observe: (seconds: number) => void): void {
  let dueMs = performance.now() + everyMs;
  const look = (): void => {
    const nowMs = performance.now();
    // All that was due meanwhile: a gap of a second is not one look among thousands.
    for (; dueMs <= nowMs; dueMs += everyMs) observe((nowMs - dueMs) / 1_000);
    setTimeout(look, Math.ceil(dueMs - nowMs)).unref();
  };
  setTimeout(look, everyMs).unref();
}
