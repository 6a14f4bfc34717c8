/** `weft-controlplane`: flags in, sources, streams, fleet and HTTP out. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { unixMs } from "@weft/proto/program/clock.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { addEventLoopDelay } from "@weft/proto/program/event-loop-delay.ts";
import type { ExitCode } from "@weft/proto/program/exit.ts";
import { exitCodes } from "@weft/proto/program/exit.ts";
import type { Values } from "@weft/proto/program/flags.ts";
import { listenHttp } from "@weft/proto/program/http.ts";
import { createLog } from "@weft/proto/program/log.ts";
import { answerNotRun, runMain } from "@weft/proto/program/main.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import { parseCommand } from "@weft/proto/program/parse.ts";
import { addProcessMetrics } from "@weft/proto/program/process-metrics.ts";
import { serverSecurity } from "@weft/proto/program/tls-flags.ts";
import { version } from "@weft/proto/program/version.ts";
import { openTracing } from "@weft/proto/telemetry/open-tracing.ts";
import { tracesUrl } from "@weft/proto/telemetry/tracing-flags.ts";
import { openAgentPort } from "./agent-port.ts";
import { controlPlaneCommand as command } from "./command.ts";
import { logFleet } from "./fleet/fleet-log.ts";
import { runFleet } from "./fleet/fleet-loop.ts";
import { addFleetMetrics } from "./fleet/fleet-metrics.ts";
import { Fleet } from "./fleet/fleet.ts";
import { controlPlaneRoutes } from "./http/routes.ts";
import { MemoryLog } from "./log/memory-log.ts";
import { massRemovalLimits } from "./mass-removal/mass-removal.ts";
import { openSource } from "./open-source.ts";
import { pipelineLimits } from "./pipeline.ts";
import type { PipelineOptions } from "./pipeline.ts";
import { chooseSource } from "./source-flags.ts";
import { RevisionSpans } from "./trace/revision-spans.ts";
import { runTraces } from "./trace/run-traces.ts";
import { TraceChoice } from "./trace/trace-choice.ts";

runMain(command.name, async (signal) => {
  const parsed = parseCommand(command, process.argv.slice(2), process.env);
  return parsed.kind === "run" ? run(parsed.values, signal) : answerNotRun(command.name, parsed);
});

async function run(values: Values<typeof command.flags>, signal: AbortSignal): Promise<ExitCode> {
  const security = serverSecurity(values);
  const log = createLog(values);
  const metrics = new Metrics();
  addProcessMetrics(metrics, command.name);
  addEventLoopDelay(metrics);
  const choice = chooseSource(values);
  if (typeof choice === "string") throw new ProgramError("usage", choice, { remedy: "" });
  const { source, name, missing: unsynced } = await openSource(choice, { log, metrics, version });

  const url = tracesUrl(values, process.env);
  const resource = { "service.name": command.name, "service.instance.id": hostname() };
  await using tracing = url === undefined ? undefined : await openTracing({ url, resource, log, metrics });
  const fleet = new Fleet(unixMs());
  addFleetMetrics(metrics, fleet);
  logFleet(fleet, log);
  const pipelineOptions: PipelineOptions = {
    source,
    history: new MemoryLog(Date.now(), randomBytes(4).readUInt32BE()),
    fleet,
    log,
    metrics,
    version,
    traces: tracing && new TraceChoice({ ratio: values.traceRatio, nodes: values.traceNodes }),
    compiler: { serviceCidrs: values.serviceCidr },
    limits: {
      ...pipelineLimits,
      catalog: { historyRevisionsMax: values.historyRevisions, historyBytesMax: values.historyBytes },
      fanout: { ...pipelineLimits.fanout, drainMs: values.drain },
    },
    massRemoval: {
      ...massRemovalLimits,
      thresholdPercent: values.massRemovalThreshold,
      holdMs: values.massRemovalHold,
    },
  };

  const { workers, logLevel, listen } = values;
  const portOptions = { pipeline: pipelineOptions, fleet, listen, security, log, signal };
  const open =
    workers === 1
      ? openAgentPort(portOptions)
      : (await import("./workers/open-workers.ts")).openWorkers({ ...portOptions, workers, logLevel });
  await using grpc = await open;
  const { pipeline } = grpc;
  const spans = tracing && new RevisionSpans(tracing, name, fleet.epoch);

  const missing = (): readonly string[] => {
    if (signal.aborted) return ["it shuts down"];
    return pipeline.isReady ? [] : [`the source ${name} is not synced`, ...unsynced()];
  };
  await using http = await listenHttp(values.http, controlPlaneRoutes({ fleet, metrics, missing }), log);

  process.stdout.write(`ready grpc=${grpc.address} http=${http.address}\n`);
  log.info("control plane runs", {
    version,
    source: name,
    grpc: grpc.address,
    http: http.address,
    ...(workers > 1 && { workers }),
  });
  const parts = [(stop: AbortSignal) => pipeline.run(stop), (stop: AbortSignal) => runFleet(fleet, stop)];
  // First: it misses no commit.
  if (spans !== undefined) parts.unshift((stop) => runTraces(fleet, spans, stop));
  await runAll(parts, signal);
  log.info("control plane ends", { signal: signal.reason });
  return exitCodes.ok;
}

// Until all have ended. If one rejects, the others are asked to end.
async function runAll(parts: readonly ((signal: AbortSignal) => Promise<void>)[], signal: AbortSignal): Promise<void> {
  const failed = new AbortController();
  const stop = AbortSignal.any([signal, failed.signal]);
  const ends = await Promise.allSettled(
    parts.map(async (part) => {
      try {
        await part(stop);
      } finally {
        failed.abort();
      }
    }),
  );
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
