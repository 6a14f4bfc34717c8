import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { healthTimeoutMs, proxyHealthResponse } from "./proxy-health.ts";
import type { ProxyProgress } from "./proxy-health.ts";

const now = Date.UTC(2026, 10, 23, 9, 0, 0, 500);
const updated = now - 3_600_000;

describe("the health of the proxy", () => {
  const rows: readonly (readonly [what: string, progress: ProxyProgress, status: number])[] = [
    ["nothing was received yet", { updatedAtMs: undefined, waitingSinceMs: undefined }, 200],
    ["all is live, long since", { updatedAtMs: updated, waitingSinceMs: undefined }, 200],
    ["something waits for a moment", { updatedAtMs: updated, waitingSinceMs: now - 1 }, 200],
    ["just below the timeout", { updatedAtMs: updated, waitingSinceMs: now - healthTimeoutMs + 1 }, 200],
    ["at the timeout", { updatedAtMs: updated, waitingSinceMs: now - healthTimeoutMs }, 503],
    ["the first state cannot be activated", { updatedAtMs: undefined, waitingSinceMs: now - healthTimeoutMs }, 503],
  ];
  for (const [what, progress, status] of rows) {
    for (const isEligible of [true, undefined]) {
      it(`${what}: ${isEligible === true ? "/healthz" : "/livez"} says ${status}`, () => {
        const response = proxyHealthResponse(progress, now, isEligible);
        assert.equal(response.status, status);
        assert.equal(response.contentType, "application/json");
        const body: unknown = JSON.parse(String(response.body));
        assert.ok(typeof body === "object" && body !== null && "healthy" in body);
        assert.equal(body.healthy, status === 200);
        assert.equal("nodeEligible" in body, isEligible === true);
      });
    }
  }

  it("is written as kube-proxy writes it", () => {
    assert.equal(
      proxyHealthResponse({ updatedAtMs: updated, waitingSinceMs: undefined }, now, true).body,
      '{"lastUpdated":"2026-11-23T09:00:00.500Z","currentTime":"2026-11-23T09:00:00.500Z","nodeEligible":true,"healthy":true,' +
        '"status":{"IPv4":{"lastUpdated":"2026-11-23T08:00:00.500Z","healthy":true},"IPv6":{"lastUpdated":"2026-11-23T08:00:00.500Z","healthy":true}}}',
    );
    assert.equal(
      proxyHealthResponse({ updatedAtMs: undefined, waitingSinceMs: 0 }, now, undefined).body,
      '{"lastUpdated":"0001-01-01T00:00:00Z","currentTime":"2026-11-23T09:00:00.500Z","healthy":false}',
    );
  });

  it("says the true time of the last update once it is not well, and refuses a node that is not eligible", () => {
    const late = proxyHealthResponse({ updatedAtMs: updated, waitingSinceMs: 0 }, now, true);
    assert.match(String(late.body), /^\{"lastUpdated":"2026-11-23T08:00:00\.500Z"/);
    const leaving = proxyHealthResponse({ updatedAtMs: updated, waitingSinceMs: undefined }, now, false);
    assert.equal(leaving.status, 503);
    assert.match(String(leaving.body), /"nodeEligible":false,"healthy":true/);
  });
});
