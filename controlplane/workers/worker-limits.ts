/** What one of several workers may do of what all streams together may. */
import type { FanoutLimits } from "../fanout/fanout-limits.ts";

/**
 * Turns of snapshots and returns are shared out. Streams are not: the kernel spreads connections by chance. The pace of Hellos is
 * kept by the main thread, for all.
 */
export function limitsOfWorker(limits: FanoutLimits, workers: number): FanoutLimits {
  const share = (of: number): number => Math.ceil(of / workers);
  return {
    ...limits,
    snapshotsMax: share(limits.snapshotsMax),
    snapshotsStuckMax: share(limits.snapshotsStuckMax),
    returnsPerSecond: share(limits.returnsPerSecond),
    pace: { ...limits.pace, perSecond: Infinity, perNodeSecond: Infinity, nodesMax: 1 },
  };
}
