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
  readonly skippedStreams: Counter;
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
    skippedStreams: metrics.counter({
      name: "weft_fanout_skipped_streams_total",
      help: "Streams that could not be written at a commit and catch up later.",
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
        help: "Connections ended before they carried a request, by reason.",
      },
      ["reason"],
    ),
  };
}
