/** What the pipeline needs of the streams of all agents, whoever serves them. */
import type { Commit } from "../catalog/resource.ts";

/** How one commit gets to the sockets. */
export interface CommitFlush {
  /** Every stream that was writable at the commit has its delta on its way. It never rejects. */
  readonly done: Promise<unknown>;
  /** Until the last write that is on its way; grows while the flush goes on. */
  readonly elapsedMs: number;
}

export interface StreamSizes {
  readonly streams: number;
  readonly agents: number;
  readonly snapshots: { readonly inFlight: number; readonly stuck: number; readonly waiting: number };
}

export interface Streams {
  /** For metrics. */
  readonly sizes: StreamSizes;
  /** Nodes that are given no state because that would be a mass removal. */
  readonly heldNodes: readonly string[];
  /** `isRemovalConfirmed` answers true now. */
  removalConfirmed(): void;
  /** Size of the delta from the revision before the head, as it is sent. */
  headDeltaBytes(): number;
  /** Sends the head to every stream that can be written. `commit`: the one that made it. */
  broadcast(commit: Commit): CommitFlush;
  /** What `nodeView` answers for these nodes is another now. */
  viewsChanged(nodes: "all" | ReadonlySet<string>): void;
  /** Until `signal` aborts and every agent was asked to leave. */
  run(signal: AbortSignal): Promise<void>;
}
