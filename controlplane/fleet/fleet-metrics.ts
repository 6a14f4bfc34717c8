/** Metrics of the fleet. Described in docs/metrics.md. */
import { latencyBuckets } from "@weft/proto/program/metrics.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";
import type { Fleet } from "./fleet.ts";
import { categoryNames } from "./missing-reason.ts";
import { countNodes } from "./node-state.ts";
import { failuresOf } from "./node-status.ts";

const deltaBytesBuckets = [64, 128, 256, 512, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 16_777_216];

export function addFleetMetrics(metrics: Metrics, fleet: Fleet): void {
  const puts = metrics.counter({
    name: "weft_catalog_resources_put_total",
    help: "Resources added or changed by commits.",
  });
  const removals = metrics.counter({
    name: "weft_catalog_resources_removed_total",
    help: "Resources removed by commits.",
  });
  const bytes = metrics.histogram(
    {
      name: "weft_fanout_delta_bytes",
      help: "Size of a revision's delta as sent to a node at the revision before, bytes.",
    },
    deltaBytesBuckets,
  );
  const acks = metrics.counter({
    name: "weft_fleet_acks_total",
    help: "Acks of nodes, answers to heartbeats included.",
  });
  const commitToAck = metrics.histogram(
    {
      name: "weft_fleet_commit_to_ack_seconds",
      help: "From a commit until a node's ack of it, per node and newest revision acked.",
    },
    latencyBuckets,
  );
  const convergence = metrics.histogramWith(
    {
      name: "weft_fleet_convergence_seconds",
      help: "From a commit until this share of the nodes connected then had acked it.",
    },
    ["percent"],
    latencyBuckets,
  );
  const waits = metrics.counterWith(
    {
      name: "weft_fleet_waits_ended_total",
      help: "Waits that were answered, by outcome: done, timeout, epoch-ended.",
    },
    ["outcome"],
  );
  for (const outcome of ["done", "timeout", "epoch-ended"]) waits.with(outcome);
  fleet.subscribe((event) => {
    if (event.kind === "answered") waits.with(event.outcome).inc();
    else if (event.kind === "commit") {
      puts.inc(event.commit.puts.length);
      removals.inc(event.commit.removals.length);
      bytes.observe(event.bytes);
    } else if (event.kind === "ack") {
      acks.inc();
      if (event.commitToAckUs !== undefined) commitToAck.observe(Math.max(0, event.commitToAckUs) / 1e6);
    } else if (event.kind === "converged") {
      const { revision, percent, elapsedUs, committedAtUs } = event.converged;
      const traceId = fleet.table.revisions.traceIdOf(revision);
      const labels = traceId === undefined ? { revision: String(revision) } : { trace_id: traceId };
      const exemplar = { labels, atSeconds: (committedAtUs + elapsedUs) / 1e6 };
      convergence.with(String(percent)).observe(Math.max(0, elapsedUs) / 1e6, exemplar);
    }
  });
  metrics.observed("gauge", { name: "weft_source_synced", help: "1: the source has delivered everything once." }, () =>
    fleet.isSynced ? 1 : 0,
  );
  metrics.observed(
    "gauge",
    { name: "weft_fleet_waits_open", help: "Waits that have not ended." },
    () => fleet.waitsOpen,
  );
  metrics.observed(
    "gauge",
    {
      name: "weft_fleet_revisions_open",
      help: "Recent revisions that not all nodes have acked which were connected at the commit.",
    },
    () => fleet.table.convergence.revisionsOpen,
  );
  metrics.observed("gauge", { name: "weft_fleet_nodes", help: "Nodes, by what is known of them now." }, () => {
    const counts = countNodes(fleet.table, fleet.head);
    return Object.entries(counts).map(([state, value]) => ({ labels: { state }, value }));
  });
  metrics.observed(
    "gauge",
    {
      name: "weft_fleet_node_failures",
      help: "Failures that connected nodes report now, by category, as far as they are listed.",
    },
    () => countFailures(fleet),
  );
}

function countFailures(
  fleet: Fleet,
): readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[] {
  const counts = new Map<string, number>(Object.values(categoryNames).map((name) => [name, 0]));
  for (const node of fleet.table.nodes()) {
    if (node.stream.kind !== "open") continue;
    for (const { category } of failuresOf(node)) {
      const name = categoryNames[category as keyof typeof categoryNames] ?? "unspecified";
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return Array.from(counts, ([category, value]) => ({ labels: { category }, value }));
}
