/** One restart, from the signal until every agent is back. */
import { bucketQuantile } from "../bucket-quantile.ts";
import type { BenchControlPlane } from "../fan-out/control-plane.ts";
import type { Stage } from "../fleet/stage.ts";

export interface Restarted {
  readonly next: BenchControlPlane;
  /** From the signal until the next control plane has acks of all for its head. */
  readonly ackedMs: number;
  readonly halfBackMs: number;
  /** Until it listens and has read its source. */
  readonly readyMs: number;
  /** While it read the cluster, too. */
  readonly worstLateMs: number;
  readonly bytesEach: number;
  readonly snapshots: number;
  readonly repairs: number;
}

const delayMetric = "weft_process_event_loop_delay_seconds";

export async function restarted(
  { load, agents, controlPlane }: Stage,
  signal: "SIGKILL" | "SIGTERM",
  start: () => Promise<BenchControlPlane>,
): Promise<Restarted> {
  const before = await load.counts();
  const returned = load.returned();
  const fromMs = performance.now();
  const ended = signal === "SIGKILL" ? controlPlane.stop() : controlPlane.terminate();
  // Else it would not get the address. After SIGTERM the old one gives it back while its agents leave.
  if (signal === "SIGKILL") await ended;
  const next = await start();
  const readyMs = performance.now() - fromMs;
  const [up] = await Promise.all([returned, ended]);
  await next.until((metrics) => (metrics['weft_fleet_nodes{state="current"}'] ?? 0) >= agents);
  const ackedMs = performance.now() - fromMs;
  const metrics = await next.metrics();
  return {
    next,
    ackedMs,
    halfBackMs: up.p50Us / 1_000,
    readyMs,
    worstLateMs: 1_000 * bucketQuantile(delayMetric, 1, {}, metrics),
    bytesEach: (up.dataBytes - before.dataBytes) / agents,
    snapshots: metrics["weft_fanout_snapshots_total"] ?? 0,
    repairs: metrics["weft_fanout_repairs_total"] ?? 0,
  };
}
