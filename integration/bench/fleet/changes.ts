/** Changes of one endpoint each, at a steady rate, as the control plane saw them run everywhere. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Converged } from "../fan-out/control-plane.ts";
import type { Stage } from "./stage.ts";

export interface Changes {
  readonly changes: number;
  /** What it took to say them to a watcher of EndpointSlices. */
  readonly eventBytes: number;
  readonly converged: readonly Converged[];
}

/** The last change has run on all agents, if none stalls, or was acked by the others. */
const settleMs = 3_000;

export async function makeChanges(stage: Stage, changes: number, everyMs: number): Promise<Changes> {
  const { api, controlPlane, context, services } = stage;
  const before = controlPlane.converged().length;
  let eventBytes = 0;
  const beganMs = performance.now();
  for (let change = 0; change < changes; change++) {
    context.signal.throwIfAborted();
    // Not one and the same endpoint: its changes would be folded into one where commits coalesce.
    eventBytes += await api.change(change % services);
    await sleep(Math.max(0, beganMs + (change + 1) * everyMs - performance.now()));
  }
  await sleep(settleMs);
  return { changes, eventBytes, converged: controlPlane.converged().slice(before) };
}
