/** Metrics of the Kubernetes source; docs/metrics.md explains them. */
import type { Counter, Gauge, Labelled, Metrics } from "@weft/proto/program/metrics.ts";

export interface KubernetesMetrics {
  readonly watchesOpen: Labelled<Gauge>;
  readonly syncs: Labelled<Counter>;
  readonly events: Labelled<Counter>;
  readonly errors: Labelled<Counter>;
}

export interface KindStatus {
  readonly kind: string;
  /** Records held. */
  readonly size: number;
  /** Milliseconds since the last byte of the API server; undefined: none yet. */
  readonly heardMsAgo: number | undefined;
}

/** @param status of every kind, when asked. */
export function kubernetesMetrics(metrics: Metrics, status: () => readonly KindStatus[]): KubernetesMetrics {
  metrics.observed("gauge", { name: "weft_kubernetes_records", help: "Records held, by kind of object." }, () =>
    status().map(({ kind, size }) => ({ labels: { kind }, value: size })),
  );
  metrics.observed(
    "gauge",
    { name: "weft_kubernetes_last_heard_seconds", help: "Time since the API server sent anything about a kind." },
    () =>
      status().flatMap(({ kind, heardMsAgo }) =>
        heardMsAgo === undefined ? [] : [{ labels: { kind }, value: heardMsAgo / 1_000 }],
      ),
  );
  return {
    watchesOpen: metrics.gaugeWith(
      { name: "weft_kubernetes_watches_open", help: "Watches that the API server answered." },
      ["kind"],
    ),
    syncs: metrics.counterWith(
      {
        name: "weft_kubernetes_syncs_total",
        help: "Times that everything of a kind was read and compared, by reason.",
      },
      ["kind", "reason"],
    ),
    events: metrics.counterWith(
      {
        name: "weft_kubernetes_events_total",
        help: "Messages of watches: put, remove, bookmark, or a replay that was skipped.",
      },
      ["kind", "type"],
    ),
    errors: metrics.counterWith(
      { name: "weft_kubernetes_errors_total", help: "Failures, by HTTP status or what went wrong." },
      ["kind", "code"],
    ),
  };
}
