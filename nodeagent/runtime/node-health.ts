/** What this node tells others of its health: health check node ports, /healthz and /livez, and the metrics of kube-proxy. */
import type { Address } from "@weft/proto/address.ts";
import { unixMs } from "@weft/proto/program/clock.ts";
import { resourceId } from "@weft/proto/ids.ts";
import type { Routes } from "@weft/proto/program/http.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";
import { HealthCheckServers } from "../health/health-check-servers.ts";
import { HealthChecks } from "../health/health-checks.ts";
import { healthRoutes } from "../health/health-routes.ts";
import { KubeProxyMetrics } from "../health/kube-proxy-metrics.ts";
import type { KubeProxyReadings, RoundReport } from "../health/kube-proxy-metrics.ts";
import { isProxyHealthy } from "../health/proxy-health.ts";
import type { ProxyProgress } from "../health/proxy-health.ts";
import type { PlanInput } from "../plan/plan-input.ts";
import type { NodeFailure } from "./failures.ts";

export interface NodeHealthOptions {
  readonly node: string;
  readonly store: PlanInput;
  /** Of the rounds. */
  readonly readings: KubeProxyReadings;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The list of failures changed. */
  readonly onChange: () => void;
}

export class NodeHealth {
  readonly #options: NodeHealthOptions;
  readonly #checks: HealthChecks;
  readonly #servers: HealthCheckServers;
  readonly #kubeProxy: KubeProxyMetrics;
  #updatedAtMs: number | undefined;

  constructor(options: NodeHealthOptions) {
    const { node, store, readings, log, metrics, onChange } = options;
    this.#options = options;
    this.#checks = new HealthChecks(store, resourceId("name", node));
    this.#servers = new HealthCheckServers({
      checks: this.#checks.all(),
      addresses: "all",
      isProxyHealthy: () => isProxyHealthy(this.#progress(), unixMs()),
      log,
      onFailuresChange: onChange,
    });
    this.#kubeProxy = new KubeProxyMetrics(metrics, readings, performance.timeOrigin);
    metrics.observed(
      "gauge",
      { name: "weft_agent_health_check_ports", help: "Health check node ports, by whether they could be bound." },
      () => [
        { labels: { state: "served" }, value: this.#servers.size },
        { labels: { state: "failed" }, value: this.#servers.failures.length },
      ],
    );
  }

  /** A notice: the service itself is served. Something else holds the port, so the category is that of claims. */
  get failures(): readonly NodeFailure[] {
    return this.#servers.failures.map(({ service, reason }) => ({ service, category: "conflict", reason }));
  }

  /** What `--healthz` serves. */
  routes(): Routes {
    const { healthz, livez } = this.#kubeProxy;
    return healthRoutes({ progress: () => this.#progress(), now: unixMs, healthz, livez });
  }

  /** What an earlier agent left live is all that there is: its services are answered for as they are held. */
  adopted(): void {
    this.#servers.changed(this.#checks.touchAll());
  }

  roundDone(report: RoundReport): void {
    this.#updatedAtMs = unixMs();
    this.#kubeProxy.roundDone(report, this.#updatedAtMs);
    this.#servers.changed(report.isAll ? this.#checks.touchAll() : this.#checks.touch(report.touched));
  }

  /** Where health check node ports listen. */
  listenOn(addresses: readonly Address[] | "all"): void {
    this.#servers.listenOn(addresses);
  }

  /** Serves health check node ports until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#servers.run(signal);
  }

  #progress(): ProxyProgress {
    const { sinceMs } = this.#options.readings.waiting();
    return {
      updatedAtMs: this.#updatedAtMs,
      waitingSinceMs: sinceMs === undefined ? undefined : performance.timeOrigin + sinceMs,
    };
  }
}
