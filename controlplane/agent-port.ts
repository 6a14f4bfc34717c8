/** The pipeline and the port on which it serves agents and fleet calls. */
import { listenGrpc } from "@weft/proto/grpc/listener.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { HostPort } from "@weft/proto/program/socket-address.ts";
import type { ServerSecurity } from "@weft/proto/program/tls-flags.ts";
import { identifierOf } from "./fanout/call-identity.ts";
import { addDiscoveryService } from "./fanout/discovery-service.ts";
import { createGrpcServer } from "./fanout/grpc-server.ts";
import { streamLimits } from "./fanout/stream-limits.ts";
import type { Streams } from "./fanout/streams.ts";
import { addFleetService } from "./fleet/fleet-service.ts";
import type { Fleet } from "./fleet/fleet.ts";
import { Pipeline } from "./pipeline.ts";
import type { PipelineOptions } from "./pipeline.ts";

export interface AgentPort extends AsyncDisposable {
  readonly pipeline: Pipeline<Streams>;
  /** "HOST:PORT" as bound. */
  readonly address: string;
}

export interface AgentPortOptions {
  readonly pipeline: PipelineOptions;
  readonly fleet: Fleet;
  readonly listen: HostPort;
  readonly security: ServerSecurity;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** In this thread. @throws ProgramError if the address cannot be bound or a file of the TLS flags is not good. */
export async function openAgentPort(options: AgentPortOptions): Promise<AgentPort> {
  const { fleet, listen, security, log, signal } = options;
  const pipeline = await Pipeline.open(options.pipeline);
  const server = createGrpcServer(streamLimits);
  const identify = identifierOf(security);
  const front = addDiscoveryService(server, { fanout: pipeline.fanout, limits: streamLimits, identify });
  addFleetService(server, { fleet, state: pipeline, removals: pipeline, identify: identify.call, log, signal });
  const grpc = await listenGrpc(server, listen, security, {
    log,
    signal,
    front,
    refused: (reason) => pipeline.connectionRefused(reason),
  });
  return { pipeline, address: grpc.address, [Symbol.asyncDispose]: () => grpc.close() };
}
