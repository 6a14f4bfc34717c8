/**
 * Whether this node's dataplane is up to date, and how kube-proxy says it (pkg/proxy/healthcheck/proxy_health.go). Healthy: what was
 * received is live, or has waited for less than the timeout. What a control plane that is away did not send does not count: the
 * node serves its last good state.
 */
import type { HttpResponse } from "@weft/proto/program/http.ts";

/** Twice the longest sync period of kube-proxy's defaults. */
export const healthTimeoutMs = 60_000;

/** Unix milliseconds. */
export interface ProxyProgress {
  /** When this process last made something live; undefined: never. */
  readonly updatedAtMs: number | undefined;
  /** Since when something waits to be made live; undefined: nothing does. */
  readonly waitingSinceMs: number | undefined;
}

export function isProxyHealthy({ waitingSinceMs }: ProxyProgress, nowMs: number): boolean {
  return waitingSinceMs === undefined || nowMs - waitingSinceMs < healthTimeoutMs;
}

/** @param isNodeEligible Only of /healthz: the node may get new connections of load balancers. Undefined: not said (/livez). */
export function proxyHealthResponse(
  progress: ProxyProgress,
  nowMs: number,
  isNodeEligible: boolean | undefined,
): HttpResponse {
  const healthy = isProxyHealthy(progress, nowMs);
  const isOk = healthy && isNodeEligible !== false;
  const { updatedAtMs } = progress;
  const updated = updatedAtMs === undefined ? neverUpdated : printTime(updatedAtMs);
  const body = {
    // As in kube-proxy: recent while all is well, else the true time.
    lastUpdated: isOk ? printTime(nowMs) : updated,
    currentTime: printTime(nowMs),
    ...(isNodeEligible === undefined ? {} : { nodeEligible: isNodeEligible }),
    healthy,
    // Both families go live in one step.
    ...(updatedAtMs === undefined
      ? {}
      : { status: { IPv4: { lastUpdated: updated, healthy }, IPv6: { lastUpdated: updated, healthy } } }),
  };
  return { status: isOk ? 200 : 503, contentType: "application/json", body: JSON.stringify(body) };
}

/** The zero time of Go, which consumers know. */
const neverUpdated = "0001-01-01T00:00:00Z";

function printTime(unixMs: number): string {
  return new Date(unixMs).toISOString();
}
