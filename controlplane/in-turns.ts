/** Runs long computations without holding the event loop. */
import { setImmediate as nextTurn } from "node:timers/promises";

/** After this much of a turn the rest of the program gets one: streams that are open answer heartbeats and acks meanwhile. */
const turnMsMax = 5;

/** Runs `steps` to their end, over as many turns of the event loop as it takes. What fits into one turn is done in one. */
export async function inTurns<T>(steps: Generator<undefined, T>, turnMs = turnMsMax): Promise<T> {
  let sinceMs = performance.now();
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (performance.now() - sinceMs < turnMs) continue;
    await nextTurn();
    sinceMs = performance.now();
  }
}
