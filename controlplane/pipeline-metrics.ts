/** What commits and the catalog count. */
import { latencyBuckets } from "@weft/proto/program/metrics.ts";
import type { Counter, Gauge, Histogram, Metrics } from "@weft/proto/program/metrics.ts";
import type { Catalog } from "./catalog/catalog.ts";
import type { Streams } from "./fanout/streams.ts";

export interface PipelineMetrics {
  readonly commits: Counter;
  readonly commitDelaySeconds: Histogram;
  readonly collisions: Gauge;
}

export function pipelineMetrics(metrics: Metrics, catalog: Catalog, fanout: Streams): PipelineMetrics {
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.observed("gauge", { name, help }, read);
  gauge("weft_catalog_revision", "The head: the newest revision.", () => catalog.head);
  gauge("weft_catalog_bytes", "Bytes of the encoded resources.", () => catalog.sizes.bytes);
  gauge(
    "weft_catalog_tombstones",
    "Removals that are remembered for agents that come back.",
    () => catalog.sizes.tombstones,
  );
  gauge(
    "weft_catalog_history_bytes",
    "Bytes that remembered removals are counted with.",
    () => catalog.sizes.historyBytes,
  );
  gauge(
    "weft_catalog_history_revisions",
    "Revisions that an agent can resume from.",
    () => catalog.sizes.historyRevisions,
  );
  gauge(
    "weft_catalog_history_bytes_max",
    "Bytes of remembered removals beyond which the oldest are forgotten.",
    () => catalog.limits.historyBytesMax,
  );
  gauge(
    "weft_catalog_history_revisions_max",
    "Revisions beyond which the oldest are forgotten.",
    () => catalog.limits.historyRevisionsMax,
  );
  metrics.observed("gauge", { name: "weft_catalog_resources", help: "Resources of the catalog, by kind." }, () => {
    const { services, backends, names } = catalog.sizes;
    return [
      { labels: { kind: "service" }, value: services },
      { labels: { kind: "backend" }, value: backends },
      { labels: { kind: "name" }, value: names },
    ];
  });
  gauge("weft_fanout_streams", "Open streams, admitted or not.", () => fanout.sizes.streams);
  gauge("weft_fanout_agents", "Agents connected.", () => fanout.sizes.agents);
  gauge(
    "weft_fanout_mass_removal_agents",
    "Agents that are given no state because that would be a mass removal which nobody confirmed.",
    () => fanout.heldNodes.length,
  );
  gauge("weft_fanout_snapshots_in_flight", "Snapshots and repairs under way.", () => fanout.sizes.snapshots.inFlight);
  gauge(
    "weft_fanout_snapshots_stuck",
    "Agents with a turn that do not read their snapshot or repair, read it slowly while others wait, or do not answer a digest query: they hold up no other.",
    () => fanout.sizes.snapshots.stuck,
  );
  gauge("weft_fanout_snapshots_waiting", "Agents that wait for their turn.", () => fanout.sizes.snapshots.waiting);
  return {
    commits: metrics.counter({ name: "weft_catalog_commits_total", help: "Commits." }),
    commitDelaySeconds: metrics.histogram(
      {
        name: "weft_catalog_commit_delay_seconds",
        help: "From the first change noticed by the source until its commit.",
      },
      latencyBuckets,
    ),
    collisions: metrics.gauge({
      name: "weft_compile_id_collisions",
      help: "Resources refused because another has their id.",
    }),
  };
}
