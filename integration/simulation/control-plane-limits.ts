/** Tiny bounds for a control plane, so that every one of them is met; some differ from one to the next. */
import { pipelineLimits } from "@weft/controlplane/pipeline.ts";
import type { PipelineLimits } from "@weft/controlplane/pipeline.ts";
import type { Random } from "./random.ts";

export function drawLimits(random: Random): PipelineLimits {
  return {
    catalog: {
      ...pipelineLimits.catalog,
      historyRevisionsMax: random.oneOf([1, 2, 6, 6, 12]),
      historyBytesMax: 20_000,
    },
    stream: { ...pipelineLimits.stream },
    fanout: {
      ...pipelineLimits.fanout,
      streamsPerTurn: 2,
      snapshotsMax: random.oneOf([1, 1, 2]),
      snapshotTurnMs: 2_000,
      tickMs: 1_000,
      pace: { perSecond: 2, burst: 3, perNodeSecond: 0.5, nodeBurst: 4, nodesMax: 16, retryMaxMs: 5_000 },
      returnsPerSecond: 2,
    },
    transfer: {
      partBytesMax: random.oneOf([150, 400, 400, 5_000]),
      deltaPartBytesMax: random.oneOf([100, 300, 300]),
      sharedDeltaRevisions: 2,
      oldDeltaPartBytesMax: 200,
      cutEntriesPerTurn: 16,
      deltasBytesMax: 2_000,
      snapshotAgeMaxMs: random.oneOf([50, 50, 2_000]),
    },
  };
}
