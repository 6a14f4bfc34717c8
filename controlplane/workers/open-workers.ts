/** The pipeline whose streams are served by worker threads. Loaded with `--workers` above 1 only. */
import type { Log, LogLevel } from "@weft/proto/program/log.ts";
import type { HostPort } from "@weft/proto/program/socket-address.ts";
import type { ServerSecurity } from "@weft/proto/program/tls-flags.ts";
import { eventLoopDelay } from "@weft/proto/program/event-loop-delay.ts";
import type { AgentPort } from "../agent-port.ts";
import type { FanoutOptions } from "../fanout/fanout-options.ts";
import { addFleetService } from "../fleet/fleet-service.ts";
import type { Fleet } from "../fleet/fleet.ts";
import { Pipeline } from "../pipeline.ts";
import type { PipelineOptions } from "../pipeline.ts";
import { checkFreePort } from "./check-free-port.ts";
import { ForwardedCalls } from "./forwarded-calls.ts";
import { WorkerStreams } from "./worker-streams.ts";
import type { WorkerStreamsOptions } from "./worker-streams.ts";

export interface OpenWorkersOptions {
  readonly pipeline: PipelineOptions;
  readonly workers: number;
  readonly logLevel: LogLevel;
  readonly fleet: Fleet;
  readonly listen: HostPort;
  readonly security: ServerSecurity;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Starts a worker. Default: in a thread. */
  readonly spawn?: WorkerStreamsOptions["spawn"];
}

/** @throws ProgramError if the address cannot be bound or a file of the TLS flags is not good. */
export async function openWorkers(options: OpenWorkersOptions): Promise<AgentPort> {
  const { workers, logLevel, fleet, listen, security, log, signal, spawn } = options;
  const { metrics } = options.pipeline;
  await checkFreePort(listen);
  const delay = eventLoopDelay(
    metrics,
    "weft_fanout_worker_event_loop_delay_seconds",
    "As `weft_process_event_loop_delay_seconds`, of all worker threads together; with `--workers` above 1 only.",
  );
  const late = (seconds: number): void => delay.observe(seconds);
  const open = (of: FanoutOptions): WorkerStreams => new WorkerStreams(of, { workers, logLevel, spawn, late });
  const pipeline = await Pipeline.openWith(options.pipeline, open);
  const streams = pipeline.fanout;
  metrics.observed(
    "gauge",
    { name: "weft_fanout_workers", help: "Worker threads that run; with `--workers` above 1 only." },
    () => streams.running,
  );
  metrics.observed(
    "counter",
    { name: "weft_fanout_worker_restarts_total", help: "Times that a worker thread was started again." },
    () => streams.restarts,
  );
  metrics.observed(
    "counter",
    {
      name: "weft_fanout_worker_busy_seconds_total",
      help: "Time in which the event loop of a worker thread was not idle; with `--workers` above 1 only.",
    },
    () => Array.from(streams.busySeconds, ([worker, value]) => ({ labels: { worker: String(worker) }, value })),
  );
  addFleetService(streams.calls, {
    fleet,
    state: pipeline,
    removals: pipeline,
    identify: ForwardedCalls.identityOf,
    log,
    signal,
  });
  try {
    const address = await streams.listen(listen, security);
    return { pipeline, address, [Symbol.asyncDispose]: () => streams[Symbol.asyncDispose]() };
  } catch (error) {
    await streams[Symbol.asyncDispose]();
    throw error;
  }
}
