/** What an agent answers over HTTP. */
import { Metrics } from "@weft/proto/program/metrics.ts";
import { textResponse } from "@weft/proto/program/http.ts";
import type { Routes } from "@weft/proto/program/http.ts";
import { planLines } from "../plan/plan-line.ts";
import type { Agent } from "./agent.ts";

/** Where `weft-agent dump --http` asks. */
export const dumpPath = "/v1/dump";

export function agentRoutes(agent: Agent, metrics: Metrics): Routes {
  return {
    "/livez": () => textResponse(200, "ok"),
    "/readyz": () => {
      if (!agent.isReady) return textResponse(503, "the state on disk is not live yet");
      const failure = agent.activationFailure;
      return failure === undefined ? textResponse(200, "ok") : textResponse(503, failure);
    },
    ...metricsRoutes(metrics),
    [dumpPath]: () => ({
      status: 200,
      contentType: "application/x-ndjson",
      body: planLines(agent.dump())
        .map((line) => `${line}\n`)
        .join(""),
    }),
  };
}

/** What `--metrics` serves. */
export function metricsRoutes(metrics: Metrics): Routes {
  return { "/metrics": () => ({ status: 200, contentType: Metrics.contentTypes.text, body: metrics.print() }) };
}
