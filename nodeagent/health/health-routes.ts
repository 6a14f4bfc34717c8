/** What `--healthz` serves, as kube-proxy does at its healthz address. */
import type { Counter, Labelled } from "@weft/proto/program/metrics.ts";
import type { Routes } from "@weft/proto/program/http.ts";
import { proxyHealthResponse } from "./proxy-health.ts";
import type { ProxyProgress } from "./proxy-health.ts";

export interface HealthRoutesOptions {
  readonly progress: () => ProxyProgress;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** Answers by status code. */
  readonly healthz: Labelled<Counter>;
  readonly livez: Labelled<Counter>;
}

export function healthRoutes({ progress, now, healthz, livez }: HealthRoutesOptions): Routes {
  return {
    "/healthz": () => {
      // No source tells of a Node's deletion or taints: every node is eligible.
      const response = proxyHealthResponse(progress(), now(), true);
      healthz.with(String(response.status)).inc();
      return response;
    },
    "/livez": () => {
      const response = proxyHealthResponse(progress(), now(), undefined);
      livez.with(String(response.status)).inc();
      return response;
    },
  };
}
