/** What the fan-out and the listener count. */
import { latencyBuckets } from "@weft/proto/program/metrics.ts";
import type { Counter, Histogram, Labelled, Metrics } from "@weft/proto/program/metrics.ts";

export interface FanoutMetrics {
  readonly streamsOpened: Counter;
  /** By reason. */
  readonly streamsEnded: Labelled<Counter>;
  readonly sentBytes: Counter;
  readonly sentMessages: Counter;
  readonly received: Counter;
  readonly snapshots: Counter;
  /** By reason. */
  readonly snapshotsInstead: Labelled<Counter>;
  readonly repairs: Counter;
  readonly repairedResources: Counter;
  readonly mismatches: Counter;
  readonly skippedStreams: Counter;
  readonly throttledStreams: Counter;
  readonly hellosDeferred: Counter;
  readonly flushSeconds: Histogram;
  readonly renames: Counter;
  /** By reason. */
  readonly connectionsRefused: Labelled<Counter>;
}

export function fanoutMetrics(metrics: Metrics): FanoutMetrics {
  return {
    streamsOpened: metrics.counter({
      name: "weft_fanout_streams_opened_total",
      help: "Streams of agents that were admitted.",
    }),
    streamsEnded: metrics.counterWith(
      {
        name: "weft_fanout_streams_ended_total",
        help: "Streams that ended, by reason; `closed` is the agent's own wish.",
      },
      ["reason"],
    ),
    sentBytes: metrics.counter({
      name: "weft_fanout_sent_bytes_total",
      help: "Bytes of messages written, without framing.",
    }),
    sentMessages: metrics.counter({ name: "weft_fanout_sent_messages_total", help: "Messages written." }),
    received: metrics.counter({ name: "weft_fanout_received_messages_total", help: "Messages read from agents." }),
    snapshots: metrics.counter({ name: "weft_fanout_snapshots_total", help: "Snapshots begun." }),
    snapshotsInstead: metrics.counterWith(
      {
        name: "weft_fanout_snapshots_instead_total",
        help: "Snapshots begun where a repair would have been, by reason.",
      },
      ["reason"],
    ),
    repairs: metrics.counter({ name: "weft_fanout_repairs_total", help: "Repairs begun." }),
    repairedResources: metrics.counter({
      name: "weft_fanout_repaired_resources_total",
      help: "Resources that differed where agents were compared, and were repaired.",
    }),
    mismatches: metrics.counter({
      name: "weft_fanout_digest_mismatches_total",
      help: "Agents found to hold something else than the revision at which they stand, each time it was found.",
    }),
    skippedStreams: metrics.counter({
      name: "weft_fanout_skipped_streams_total",
      help: "Streams that could not be written at a commit and catch up later.",
    }),
    throttledStreams: metrics.counter({
      name: "weft_fanout_throttled_streams_total",
      help: "Times that a stream began to say too much and was not read for a while.",
    }),
    hellosDeferred: metrics.counter({
      name: "weft_fanout_hellos_deferred_total",
      help: "Hellos answered with the time to come back at, because too many came at once.",
    }),
    flushSeconds: metrics.histogram(
      { name: "weft_fanout_flush_seconds", help: "Commit until its delta was handed to every writable socket." },
      latencyBuckets,
    ),
    renames: metrics.counter({
      name: "weft_fanout_epoch_renames_total",
      help: "Times that an agent held a later epoch.",
    }),
    connectionsRefused: metrics.counterWith(
      {
        name: "weft_fanout_connections_refused_total",
        help: "Connections ended while they carried no call, by reason.",
      },
      ["reason"],
    ),
  };
}
