/** What a worker's fan-out counts, kept as differences until they are told to the main thread, which adds them up. */
import type { Counter, Labelled } from "@weft/proto/program/metrics.ts";
import type { FanoutMetrics } from "../fanout/fanout-metrics.ts";
import type { CountName, FromWorker } from "./worker-messages.ts";

type Counted = Extract<FromWorker, { kind: "counted" }>["counts"][number];

export class WorkerCounts {
  readonly metrics: FanoutMetrics;
  readonly #counts = new Map<string, Count>();

  constructor() {
    const plain = (name: CountName): Counter => this.#count(name, undefined);
    const labelled = (name: CountName): Labelled<Counter> => ({
      with: (label = "") => this.#count(name, label),
      remove: () => undefined,
    });
    this.metrics = {
      streamsOpened: plain("streamsOpened"),
      streamsEnded: labelled("streamsEnded"),
      sentBytes: plain("sentBytes"),
      sentMessages: plain("sentMessages"),
      received: plain("received"),
      snapshots: plain("snapshots"),
      snapshotsInstead: labelled("snapshotsInstead"),
      repairs: plain("repairs"),
      repairedResources: plain("repairedResources"),
      mismatches: plain("mismatches"),
      skippedStreams: plain("skippedStreams"),
      throttledStreams: plain("throttledStreams"),
      hellosDeferred: plain("hellosDeferred"),
      // Of all workers together; the main thread observes it.
      flushSeconds: { observe: () => undefined },
      renames: plain("renames"),
      connectionsRefused: labelled("connectionsRefused"),
    };
  }

  /** What was counted since this was asked last. */
  take(): readonly Counted[] {
    const counts: Counted[] = [];
    for (const count of this.#counts.values()) {
      if (count.by > 0) counts.push([count.name, count.label, count.by]);
      count.by = 0;
    }
    return counts;
  }

  #count(name: CountName, label: string | undefined): Count {
    const key = `${name} ${label ?? ""}`;
    const count = this.#counts.get(key) ?? new Count(name, label);
    this.#counts.set(key, count);
    return count;
  }
}

class Count implements Counter {
  readonly name: CountName;
  readonly label: string | undefined;
  by = 0;

  constructor(name: CountName, label: string | undefined) {
    this.name = name;
    this.label = label;
  }

  inc(by = 1): void {
    this.by += by;
  }
}

/** Adds what a worker counted. */
export function addCounts(metrics: FanoutMetrics, counts: readonly Counted[]): void {
  for (const [name, label, by] of counts) {
    const counter = metrics[name];
    if ("with" in counter) counter.with(label ?? "").inc(by);
    else counter.inc(by);
  }
}
