/** For tests: a pipeline that listens on a free port of 127.0.0.1, with a scripted source and a recording fleet. */
import { Metrics } from "@weft/proto/program/metrics.ts";
import { listenGrpc } from "@weft/proto/grpc/listener.ts";
import type { GrpcListener, ListenerLimits } from "@weft/proto/grpc/listener.ts";
import { createLog } from "@weft/proto/program/log.ts";
import type { ServerSecurity } from "@weft/proto/program/tls-flags.ts";
import { identifierOf } from "./fanout/call-identity.ts";
import { addDiscoveryService } from "./fanout/discovery-service.ts";
import { createGrpcServer } from "./fanout/grpc-server.ts";
import { creditLimits } from "./fanout/receive-credit.ts";
import type { CreditLimits } from "./fanout/receive-credit.ts";
import { ScriptedAgent } from "./fanout/scripted-agent.ts";
import type { ScriptedAgentOptions } from "./fanout/scripted-agent.ts";
import type { Streams } from "./fanout/streams.ts";
import { MemoryLog } from "./log/memory-log.ts";
import { massRemovalLimits } from "./mass-removal/mass-removal.ts";
import type { MassRemovalLimits } from "./mass-removal/mass-removal.ts";
import { Pipeline, pipelineLimits } from "./pipeline.ts";
import type { PipelineLimits } from "./pipeline.ts";
import { RecordingFleet } from "./recording-fleet.ts";
import { ScriptedSource } from "./scripted-source.ts";
import { WorkerStreams } from "./workers/worker-streams.ts";
import type { WorkerStreamsOptions } from "./workers/worker-streams.ts";

export interface RunningOptions {
  readonly security?: ServerSecurity;
  readonly limits?: { readonly [K in keyof PipelineLimits]?: Partial<PipelineLimits[K]> };
  /** Unix milliseconds. */
  readonly epochMs?: number;
  readonly massRemoval?: Partial<MassRemovalLimits>;
  /** Default: any free one. */
  readonly port?: number;
  readonly listener?: Partial<ListenerLimits>;
  /** How often certificate files are read again. */
  readonly pollMs?: number;
  readonly credit?: Partial<CreditLimits>;
  /** Default: those of `workersOfTests`. */
  readonly workers?: number;
  /** Starts these. Default: in threads. */
  readonly spawn?: WorkerStreamsOptions["spawn"];
}

/** Threads that serve the agents of a test that does not choose: 1 is the one of the test. */
export const workersOfTests = Number(process.env["WEFT_TEST_WORKERS"] ?? 1);

// Nothing is due during a test unless the test says so.
const quiet: Partial<PipelineLimits["stream"]> = { heartbeatMs: 600_000, firstHeartbeatMs: 600_000 };

export class RunningPipeline implements AsyncDisposable {
  readonly source: ScriptedSource;
  readonly fleet: RecordingFleet;
  readonly metrics: Metrics;
  readonly pipeline: Pipeline<Streams>;
  readonly logged: string[];
  readonly #listener: Pick<GrpcListener, "address"> & Partial<GrpcListener>;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #agents: ScriptedAgent[] = [];

  private constructor(
    parts: Pick<RunningPipeline, "source" | "fleet" | "metrics" | "pipeline" | "logged">,
    listener: Pick<GrpcListener, "address"> & Partial<GrpcListener>,
  ) {
    this.source = parts.source;
    this.fleet = parts.fleet;
    this.metrics = parts.metrics;
    this.pipeline = parts.pipeline;
    this.logged = parts.logged;
    this.#listener = listener;
    this.#running = parts.pipeline.run(this.#stop.signal);
  }

  static async start(options: RunningOptions = {}): Promise<RunningPipeline> {
    const security = options.security ?? { kind: "insecure" };
    const limits: PipelineLimits = {
      catalog: { ...pipelineLimits.catalog, ...options.limits?.catalog },
      stream: { ...pipelineLimits.stream, ...quiet, ...options.limits?.stream },
      fanout: { ...pipelineLimits.fanout, ...options.limits?.fanout },
      transfer: { ...pipelineLimits.transfer, ...options.limits?.transfer },
    };
    const logged: string[] = [];
    const log = createLog({ logLevel: "info", logFormat: "text", write: (line) => void logged.push(line) });
    const [source, fleet, metrics] = [new ScriptedSource(), new RecordingFleet(), new Metrics()];
    const history = new MemoryLog(options.epochMs ?? Date.now(), 7);
    const massRemoval = { ...massRemovalLimits, ...options.massRemoval };
    const pipelineOptions = { source, history, fleet, log, metrics, version: "1.2.3", limits, massRemoval };
    const credit = options.credit && { ...creditLimits, ...options.credit };
    const workers = options.workers ?? workersOfTests;
    const listenerTimes = { limits: options.listener ?? {}, ...(options.pollMs && { pollMs: options.pollMs }) };
    if (workers > 1) {
      const pipeline = await Pipeline.openWith(
        pipelineOptions,
        (of) =>
          new WorkerStreams(of, { workers, logLevel: "info", credit, listener: listenerTimes, spawn: options.spawn }),
      );
      const address = await pipeline.fanout.listen({ host: "127.0.0.1", port: 0 }, security);
      const running = new RunningPipeline({ source, fleet, metrics, pipeline, logged }, { address });
      await source.started();
      return running;
    }
    const pipeline = await Pipeline.open(pipelineOptions);
    const server = createGrpcServer(limits.stream);
    const front = addDiscoveryService(server, {
      fanout: pipeline.fanout,
      limits: limits.stream,
      identify: identifierOf(security),
      ...(credit && { creditLimits: credit }),
    });
    const listener = await listenGrpc(server, { host: "127.0.0.1", port: options.port ?? 0 }, security, {
      log,
      signal: new AbortController().signal,
      front,
      refused: (reason) => pipeline.connectionRefused(reason),
      ...listenerTimes,
    });
    const running = new RunningPipeline({ source, fleet, metrics, pipeline, logged }, listener);
    await source.started();
    return running;
  }

  get address(): string {
    return this.#listener.address;
  }

  /** Revision of the head. */
  get head(): number {
    return this.pipeline.catalog.head;
  }

  agent(node: string, options: Partial<ScriptedAgentOptions> = {}): ScriptedAgent {
    const agent = new ScriptedAgent({ address: this.address, node, ...options });
    this.#agents.push(agent);
    return agent;
  }

  /** The value of a printed sample such as `weft_x_total{reason="y"}`; 0 if it is not there. */
  metric(sample: string): number {
    const line = this.metrics
      .print()
      .split("\n")
      .find((one) => one.startsWith(`${sample} `));
    return Number(line?.slice(sample.length + 1) ?? 0);
  }

  /** Resolves once `is` holds; rejects after half a minute. */
  async until(is: () => boolean, what: string): Promise<void> {
    const deadlineMs = performance.now() + 30_000;
    while (!is()) {
      if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Ends the run, as SIGTERM does; agents see a Goaway. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#listener.close?.(50);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.close()));
    await this.stop();
  }
}
