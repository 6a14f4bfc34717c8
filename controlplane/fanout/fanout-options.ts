/** What the fan-out is made of and speaks to. */
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import type { NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { TraceContext } from "@weft/proto/telemetry/trace-context.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { FleetObserver } from "../fleet/fleet-observer.ts";
import type { HistoryKind } from "../log/commit-log.ts";
import type { MassRemovalLimits } from "../mass-removal/mass-removal.ts";
import type { FanoutLimits } from "./fanout-limits.ts";
import type { FanoutMetrics } from "./fanout-metrics.ts";
import type { StreamLimits } from "./stream-limits.ts";
import type { TransferLimits } from "./transfers.ts";

export interface FanoutOptions {
  readonly catalog: Catalog;
  readonly historyKind: HistoryKind;
  readonly fleet: FleetObserver;
  readonly log: Log;
  readonly metrics: FanoutMetrics;
  readonly version: string;
  readonly streamLimits: StreamLimits;
  readonly fanoutLimits: FanoutLimits;
  readonly transferLimits: TransferLimits;
  /** Unix milliseconds with fractions; never goes back. */
  readonly now: () => number;
  /** From 0 to 1, exclusive: spreads the times at which agents come back. */
  readonly random: () => number;
  readonly nodeView: (node: string) => NodeView;
  /** An agent held a later epoch: the history goes on under this one. */
  readonly renamed: (epoch: Epoch) => void;
  readonly massRemoval: MassRemovalLimits;
  /** As of now; when it becomes true by anything but time, `removalConfirmed` is called. */
  readonly isRemovalConfirmed: () => boolean;
  /** Of a revision that is sampled; default: none is. */
  readonly traceOf?: ((revision: Revision) => TraceContext | undefined) | undefined;
}
