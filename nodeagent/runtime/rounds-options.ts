/** What rounds are given, and what one that is live says of itself. */
import type { Cursor } from "@weft/proto/cursor.ts";
import type { NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Dataplane } from "../dataplane/dataplane.ts";
import type { RoundReport } from "../health/kube-proxy-metrics.ts";
import type { NodeAddressing } from "../plan/node-addressing.ts";
import type { StateFile } from "../sync/state-file.ts";
import type { Store } from "../sync/store.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import type { StepDurations } from "./messages.ts";
import type { TracedRound } from "./round-trace.ts";

/** What is live because of this process. */
export interface Active {
  readonly cursor: Cursor;
  /** Root digest at `cursor`. */
  readonly digest: bigint;
  /** Unix microseconds. */
  readonly appliedAtUs: number;
  readonly durations: StepDurations;
}

export interface RoundsOptions {
  readonly node: string;
  readonly store: Store;
  readonly dataplane: Dataplane;
  readonly file: Pick<StateFile, "append" | "rewrite" | "wantsSnapshot">;
  readonly log: Log;
  readonly metrics: AgentMetrics;
  readonly addressing: NodeAddressing;
  /** From the state on disk. */
  readonly view: NodeView | undefined;
  /** A round is active. */
  readonly onRound: (report: RoundReport) => void;
  /** A round of revisions that are traced is active; undefined: nothing is traced. */
  readonly onTraced: ((round: TracedRound) => void) | undefined;
  /** What is live, or the list of failures, changed. */
  readonly onChange: () => void;
  /** Gives memory back. */
  readonly compact: () => Promise<void>;
}
