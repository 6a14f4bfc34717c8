/** Feeds the spans of revisions with what the fleet tells, and ends what stays open. */
import { setInterval as every } from "node:timers/promises";
import { unixMs } from "@weft/proto/program/clock.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { RevisionSpans } from "./revision-spans.ts";

const expireEveryMs = 1_000;

/** Runs until `signal` aborts. */
export async function runTraces(fleet: Fleet, spans: RevisionSpans, signal: AbortSignal): Promise<void> {
  const unsubscribe = fleet.subscribe((event) => spans.take(event));
  try {
    for await (const _ of every(expireEveryMs, undefined, { signal, ref: false })) spans.expire(nowUs());
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    unsubscribe();
    spans.close(nowUs());
  }
}

// The same clock as commits.
function nowUs(): number {
  return unixMs() * 1_000;
}
