/** Much changes at once, several times: deltas of about 130 KB to each agent that reads. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Stage } from "./stage.ts";

export interface Burst {
  /** To each agent that reads, on average: DATA with framing, of all deltas of one burst. */
  readonly bytesEach: number;
}

/** One endpoint of each: 80 bytes. */
const servicesChanged = 1_600;
/** By then the control plane has committed all of it. */
const committedMs = 700;

/** @param stalled So many agents do not read. */
export async function bursts(stage: Stage, count: number, stalled = 0): Promise<Burst> {
  const { api, load, controlPlane, context, services, agents } = stage;
  const before = await load.counts();
  for (let burst = 0; burst < count; burst++) {
    context.signal.throwIfAborted();
    const first = burst * servicesChanged;
    await api.changeAll(Array.from({ length: servicesChanged }, (_, i) => (first + i) % services));
    await sleep(committedMs);
    await controlPlane.until((metrics) => (metrics['weft_fleet_nodes{state="current"}'] ?? 0) >= agents - stalled);
  }
  const after = await load.counts();
  return { bytesEach: (after.dataBytes - before.dataBytes) / (agents - stalled) / count };
}
