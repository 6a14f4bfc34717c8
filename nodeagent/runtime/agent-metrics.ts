/** Metrics of the agent. docs/metrics.md describes each. */
import type { Counter, Gauge, Histogram, Labelled, Metrics } from "@weft/proto/program/metrics.ts";
import { latencyBuckets } from "@weft/proto/program/metrics.ts";
import type { Limit } from "../dataplane/dataplane.ts";
import type { StoreCounts } from "../sync/store.ts";
import type { SyncState } from "../sync/sync-state.ts";
import type { NodeFailure } from "./failures.ts";
import type { StepDurations } from "./messages.ts";

/** What gauges read when they are printed. */
export interface AgentReadings {
  readonly syncState: () => SyncState["kind"];
  /** Revision that is live; 0: none. */
  readonly activeRevision: () => number;
  readonly counts: () => StoreCounts;
  readonly failures: () => readonly NodeFailure[];
  readonly limits: () => readonly Limit[];
  readonly isStateStale: () => boolean;
  readonly stateBytes: () => number;
}

const syncStates = [
  "backing-off",
  "connecting",
  "greeting",
  "following",
  "holding",
] as const satisfies readonly SyncState["kind"][];

export class AgentMetrics {
  readonly streamsEnded: Labelled<Counter>;
  readonly epochsRefused: Counter;
  readonly massRemovalsHeld: Counter;
  readonly digestMismatches: Counter;
  readonly repairedResources: Counter;
  readonly deltasReceived: Labelled<Counter>;
  readonly roundsFailed: Counter;
  readonly connected: Gauge;
  readonly #rounds: Counter;
  readonly #receivedToActive: Histogram;
  readonly #steps: Labelled<Histogram>;

  constructor(metrics: Metrics) {
    this.streamsEnded = metrics.counterWith(
      {
        name: "weft_agent_streams_ended_total",
        help: "Streams to a control plane that ended or never came to be, by cause.",
      },
      ["cause"],
    );
    this.epochsRefused = metrics.counter({
      name: "weft_agent_epochs_refused_total",
      help: "Control planes refused because their history is older than the one this node runs.",
    });
    this.massRemovalsHeld = metrics.counter({
      name: "weft_agent_mass_removals_held_total",
      help: "Snapshots and repairs that were not activated because they remove too much.",
    });
    this.digestMismatches = metrics.counter({
      name: "weft_agent_digest_mismatches_total",
      help: "Heartbeats whose digest is not that of what this node holds at the same revision.",
    });
    this.repairedResources = metrics.counter({
      name: "weft_agent_repaired_resources_total",
      help: "Resources that repairs added, changed or removed.",
    });
    this.deltasReceived = metrics.counterWith(
      { name: "weft_agent_deltas_received_total", help: "Complete deltas, by scope: since, everything, buckets." },
      ["scope"],
    );
    this.connected = metrics.gauge({
      name: "weft_agent_connected",
      help: "1 while a control plane has welcomed this agent.",
    });
    this.#rounds = metrics.counter({ name: "weft_agent_rounds_total", help: "Activations." });
    this.roundsFailed = metrics.counter({
      name: "weft_agent_rounds_failed_total",
      help: "Rounds in which nothing could be activated; they are tried again.",
    });
    this.#receivedToActive = metrics.histogram(
      {
        name: "weft_agent_received_to_active_seconds",
        help: "From the last part of a delta received until it is live.",
      },
      latencyBuckets,
    );
    this.#steps = metrics.histogramWith(
      { name: "weft_agent_round_step_seconds", help: "Steps of a round: plan, stage, persist." },
      ["step"],
      latencyBuckets,
    );
  }

  roundDone(durations: StepDurations, isOfDelta: boolean): void {
    this.#rounds.inc();
    if (isOfDelta) this.#receivedToActive.observe(durations.receivedToActiveUs / 1e6);
    this.#steps.with("plan").observe(durations.planUs / 1e6);
    this.#steps.with("stage").observe(durations.stageUs / 1e6);
    this.#steps.with("persist").observe(durations.persistUs / 1e6);
  }
}

/** Gauges that are read from the running agent. */
export function observeAgent(metrics: Metrics, readings: AgentReadings): void {
  metrics.observed(
    "gauge",
    { name: "weft_agent_sync_state", help: "1 for the state of the conversation with the control plane." },
    () => syncStates.map((state) => ({ labels: { state }, value: state === readings.syncState() ? 1 : 0 })),
  );
  metrics.observed(
    "gauge",
    { name: "weft_agent_active_revision", help: "Revision that is live; 0 for none." },
    readings.activeRevision,
  );
  metrics.observed("gauge", { name: "weft_agent_resources", help: "Resources held, by kind." }, () => {
    const { services, backends, names, unknown } = readings.counts();
    return Object.entries({ service: services, backend: backends, name: names, unknown }).map(([kind, value]) => ({
      labels: { kind },
      value,
    }));
  });
  metrics.observed("gauge", { name: "weft_agent_failures", help: "What this node cannot do now, by category." }, () => {
    const categories = ["capacity", "kernel", "conflict", "unsupported", "mass_removal_held"] as const;
    const all = readings.failures();
    return categories.map((category) => ({
      labels: { category },
      value: all.filter((failure) => failure.category === category).length,
    }));
  });
  metrics.observed("gauge", { name: "weft_agent_limit_used", help: "Use of each size of the dataplane." }, () =>
    readings.limits().map(({ name, used }) => ({ labels: { limit: name }, value: used })),
  );
  metrics.observed("gauge", { name: "weft_agent_limit_max", help: "Each size of the dataplane." }, () =>
    readings.limits().map(({ name, max }) => ({ labels: { limit: name }, value: max })),
  );
  metrics.observed(
    "gauge",
    { name: "weft_agent_state_stale", help: "1 if the state on disk is behind what is live." },
    () => (readings.isStateStale() ? 1 : 0),
  );
  metrics.observed(
    "gauge",
    { name: "weft_agent_state_bytes", help: "Size of the state on disk, bytes." },
    readings.stateBytes,
  );
}
