/** The pages of the control plane for probes, Prometheus and preStop hooks. */
import { textResponse } from "@weft/proto/program/http.ts";
import type { Routes } from "@weft/proto/program/http.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import type { Fleet } from "../fleet/fleet.ts";
import { waitRoute } from "./wait-route.ts";

export interface RoutesOptions {
  readonly fleet: Fleet;
  readonly metrics: Metrics;
  /** What keeps it from serving; empty: ready. */
  readonly missing: () => readonly string[];
}

export function controlPlaneRoutes({ fleet, metrics, missing }: RoutesOptions): Routes {
  return {
    "/livez": () => textResponse(200, "ok"),
    "/readyz": () => {
      const reasons = missing();
      return reasons.length === 0 ? textResponse(200, "ready") : textResponse(503, `not ready: ${reasons.join("; ")}`);
    },
    "/metrics": ({ accept }) => {
      const as = Metrics.accepted(accept);
      return { status: 200, contentType: Metrics.contentTypes[as], body: metrics.print(as) };
    },
    "/v1/wait": waitRoute(fleet),
  };
}
