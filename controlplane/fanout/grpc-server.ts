/** The grpc-js server that hosts the services of a control plane, with the options that thousands of streams need. */
import { Server } from "@grpc/grpc-js";
import type { ServerOptions } from "@grpc/grpc-js";
import type { StreamLimits } from "./stream-limits.ts";

const connectionIdleMs = 60_000;

/** Add services to it, then hand it to `listenGrpc`. */
export function createGrpcServer(limits: StreamLimits): Server {
  const options: ServerOptions = {
    "grpc.max_receive_message_length": limits.messageBytesMax,
    "grpc.max_send_message_length": limits.messageBytesMax,
    // Finds connections that are gone without a word, also those that only wait for a revision.
    "grpc.keepalive_time_ms": limits.heartbeatMs * 2,
    "grpc.keepalive_timeout_ms": limits.heartbeatMs,
    // A connection without a call holds memory for nothing.
    "grpc.max_connection_idle_ms": connectionIdleMs,
    // Introspection that nobody reads, for 5 % of the CPU.
    "grpc.enable_channelz": 0,
  };
  return new Server(options);
}
