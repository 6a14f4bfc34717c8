/** The grpc-js server that hosts the services of a control plane, with the options that thousands of streams need. */
import { Server } from "@grpc/grpc-js";
import type { ServerOptions } from "@grpc/grpc-js";
import type { StreamLimits } from "./stream-limits.ts";

/** Calls at a time on one connection: an agent has one, the weft command a few. */
const callsPerConnectionMax = 16;
/** What node:http2 may keep for one connection, its unsent frames included, megabytes. */
const sessionMegabytesMax = 16;

/** Bounds of node:http2 that grpc-js does not know; its own are kept (1,000 unsent answers to pings or settings, then the connection ends). */
const http2Options = {
  maxHeaderListPairs: 64,
  maxSettings: 16,
  // Calls that a client opens and resets at once: 33 a second are nothing, beyond 128 saved ones the connection ends.
  streamResetBurst: 128,
  streamResetRate: 33,
};

/** Add services to it, then hand it to `listenGrpc`. */
export function createGrpcServer(limits: StreamLimits): Server {
  const options: ServerOptions = {
    "grpc.max_receive_message_length": limits.requestBytesMax,
    "grpc.max_send_message_length": limits.messageBytesMax,
    "grpc.max_concurrent_streams": callsPerConnectionMax,
    "grpc-node.max_session_memory": sessionMegabytesMax,
    // Finds connections that are gone without a word, also those that only wait for a revision.
    "grpc.keepalive_time_ms": limits.heartbeatMs * 2,
    "grpc.keepalive_timeout_ms": limits.heartbeatMs,
    "grpc.max_connection_idle_ms": limits.connectionIdleMs,
    // Introspection that nobody reads, for 5 % of the CPU.
    "grpc.enable_channelz": 0,
  };
  const server = new Server(options);
  limitHttp2(server);
  return server;
}

// grpc-js 1.14 (pinned) passes this object to node:http2. Without it the server works, with the bounds of node:http2 alone;
// `bad-input.test.ts` fails if grpc-js changes.
function limitHttp2(server: Server): void {
  const passed: unknown = Reflect.get(server, "commonServerOptions");
  if (typeof passed !== "object" || passed === null) return;
  Object.assign(passed, http2Options);
}
