/**
 * The metrics of kube-proxy that dashboards and alerts use: its names, labels and buckets (pkg/proxy/metrics/metrics.go), where they
 * have a meaning here. docs/metrics.md describes each. Pure.
 */
import type { Counter, Histogram, Labelled, Metrics, Sample } from "@weft/proto/program/metrics.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import type { ServicePlan } from "../dataplane/dataplane.ts";
import { NoLocalEndpoints } from "./no-local-endpoints.ts";

/** A round that is active. */
export interface RoundReport {
  /** Everything was given to the dataplane, not only what was touched. */
  readonly isAll: boolean;
  /** Names of touched services. */
  readonly touched: ReadonlySet<string>;
  readonly plans: readonly ServicePlan[];
  /** From the start of planning. */
  readonly seconds: number;
  readonly serviceChanges: number;
  readonly backendChanges: number;
  readonly triggers: TriggerTimes;
}

/** What waits to be live. */
export interface Waiting {
  /** `performance.now()` of the oldest; undefined: nothing waits. */
  readonly sinceMs: number | undefined;
  readonly serviceChanges: number;
  readonly backendChanges: number;
}

export interface KubeProxyReadings {
  readonly waiting: () => Waiting;
  /** Unix milliseconds when something last came to wait; undefined: nothing yet. */
  readonly queuedAtMs: () => number | undefined;
}

const families = [
  { label: "IPv4", family: 4, triggers: "ipv4" },
  { label: "IPv6", family: 6, triggers: "ipv6" },
] as const;

/** 1 ms to 16.384 s. */
const syncBuckets = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);

/** 0, 0.25, 0.5, then every second to 59, every 5 to 115, every 30 to 300. */
const programmingBuckets = [0, 0.25, 0.5, ...linear(1, 1, 59), ...linear(60, 5, 12), ...linear(120, 30, 7)];

export class KubeProxyMetrics {
  readonly healthz: Labelled<Counter>;
  readonly livez: Labelled<Counter>;
  readonly #sync: Labelled<Histogram>;
  readonly #syncFull: Labelled<Histogram>;
  readonly #syncPartial: Labelled<Histogram>;
  readonly #programming: Labelled<Histogram>;
  readonly #noLocal = new NoLocalEndpoints();
  readonly #startedAtMs: number;
  #serviceChanges = 0;
  #backendChanges = 0;
  #syncedAtMs: number | undefined;

  /** @param startedAtMs Start of this process, unix milliseconds. */
  constructor(metrics: Metrics, readings: KubeProxyReadings, startedAtMs: number) {
    this.#startedAtMs = startedAtMs;
    const byFamily = (name: string, help: string, bounds: readonly number[]): Labelled<Histogram> => {
      const made = metrics.histogramWith({ name: `kubeproxy_${name}`, help }, ["ip_family"], bounds);
      for (const { label } of families) made.with(label);
      return made;
    };
    this.#sync = byFamily("sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds", syncBuckets);
    this.#syncFull = byFamily(
      "sync_full_proxy_rules_duration_seconds",
      "SyncProxyRules latency in seconds for full resyncs",
      syncBuckets,
    );
    this.#syncPartial = byFamily(
      "sync_partial_proxy_rules_duration_seconds",
      "SyncProxyRules latency in seconds for partial resyncs",
      syncBuckets,
    );
    this.#programming = byFamily(
      "network_programming_duration_seconds",
      "In Cluster Network Programming Latency in seconds",
      programmingBuckets,
    );
    const gauge = (name: string, help: string, read: () => number | readonly Sample[]): void =>
      metrics.observed("gauge", { name: `kubeproxy_${name}`, help }, read);
    const counter = (name: string, help: string, read: () => number): void =>
      metrics.observed("counter", { name: `kubeproxy_${name}`, help }, read);
    gauge("sync_proxy_rules_last_timestamp_seconds", "The last time proxy rules were successfully synced", () =>
      ofBoth(seconds(this.#syncedAtMs)),
    );
    gauge("sync_proxy_rules_last_queued_timestamp_seconds", "The last time a sync of proxy rules was queued", () =>
      ofBoth(seconds(readings.queuedAtMs())),
    );
    gauge(
      "sync_proxy_rules_endpoint_changes_pending",
      "Pending proxy rules Endpoint changes",
      () => readings.waiting().backendChanges,
    );
    gauge(
      "sync_proxy_rules_service_changes_pending",
      "Pending proxy rules Service changes",
      () => readings.waiting().serviceChanges,
    );
    counter(
      "sync_proxy_rules_endpoint_changes_total",
      "Cumulative proxy rules Endpoint changes",
      () => this.#backendChanges + readings.waiting().backendChanges,
    );
    counter(
      "sync_proxy_rules_service_changes_total",
      "Cumulative proxy rules Service changes",
      () => this.#serviceChanges + readings.waiting().serviceChanges,
    );
    gauge(
      "sync_proxy_rules_no_local_endpoints_total",
      "Number of services with a Local traffic policy and no endpoints",
      () =>
        families.flatMap(({ label, family }) =>
          (["internal", "external"] as const).map((policy) => ({
            labels: { ip_family: label, traffic_policy: policy },
            value: this.#noLocal.count(family, policy),
          })),
        ),
    );
    const codes = (name: string, help: string): Labelled<Counter> => {
      const made = metrics.counterWith({ name: `kubeproxy_${name}`, help }, ["code"]);
      for (const code of ["200", "503"]) made.with(code);
      return made;
    };
    this.healthz = codes("proxy_healthz_total", "Cumulative proxy healthz HTTP status");
    this.livez = codes("proxy_livez_total", "Cumulative proxy livez HTTP status");
  }

  /** Both families go live in one step. @param nowMs Unix milliseconds. */
  roundDone(report: RoundReport, nowMs: number): void {
    this.#syncedAtMs = nowMs;
    this.#serviceChanges += report.serviceChanges;
    this.#backendChanges += report.backendChanges;
    this.#noLocal.update(report.plans);
    const kind = report.isAll ? this.#syncFull : this.#syncPartial;
    for (const { label, triggers } of families) {
      this.#sync.with(label).observe(report.seconds);
      kind.with(label).observe(report.seconds);
      for (const triggeredAtMs of report.triggers[triggers]) {
        // As kube-proxy: what came before this process is no fault of it.
        if (triggeredAtMs < this.#startedAtMs) continue;
        this.#programming.with(label).observe(Math.max(0, nowMs - triggeredAtMs) / 1_000);
      }
    }
  }
}

function ofBoth(value: number): readonly Sample[] {
  return families.map(({ label }) => ({ labels: { ip_family: label }, value }));
}

function seconds(unixMs: number | undefined): number {
  return unixMs === undefined ? 0 : unixMs / 1_000;
}

function linear(start: number, width: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => start + i * width);
}
