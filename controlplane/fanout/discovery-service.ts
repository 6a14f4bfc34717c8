/**
 * `weft.discovery.v1` on a port: Sync calls on connections of their own go over our HTTP/2, and those on a connection that began with
 * another call over grpc-js, as that call does.
 */
import { status } from "@grpc/grpc-js";
import type { Server, ServerDuplexStream } from "@grpc/grpc-js";
import { DiscoveryService } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { ConnectionFront } from "@weft/proto/grpc/listener.ts";
import { methodDefinition } from "@weft/proto/grpc/service.ts";
import { printHostPort } from "@weft/proto/program/socket-address.ts";
import { Front } from "../http2/front.ts";
import type { Header } from "../http2/header-decoder.ts";
import type { Identify } from "./call-identity.ts";
import { limitMessage, refuseCompressed, resetCall, watchStatus } from "./grpc-call.ts";
import { statusCodes } from "./refusal.ts";
import { SyncCalls } from "./sync-calls.ts";
import type { BreakReason, SyncCall, SyncCallsOptions } from "./sync-calls.ts";

/** What grpc-js ends by itself. */
const breakReasons: ReadonlyMap<status, BreakReason> = new Map([
  [status.RESOURCE_EXHAUSTED, "too-large"],
  // Compressed messages.
  [status.UNIMPLEMENTED, "malformed"],
  [status.DEADLINE_EXCEEDED, "deadline"],
]);

export interface DiscoveryServiceOptions extends SyncCallsOptions {
  readonly identify: Identify;
}

type SyncDuplex = ServerDuplexStream<Uint8Array, Uint8Array>;

/** Call before the server listens, and give the listener what this returns. */
export function addDiscoveryService(server: Server, options: DiscoveryServiceOptions): ConnectionFront {
  const definition = methodDefinition(DiscoveryService.method.sync);
  const calls = new SyncCalls(options);
  server.addService(
    { sync: { ...definition, requestDeserialize: (bytes: Buffer) => bytes } },
    { sync: (call: SyncDuplex) => serveGrpc(call, calls, options) },
  );
  return new Front({
    serves: (headers) => isSync(headers, definition.path),
    messageBytesMax: options.limits.helloBytesMax,
    idleMs: options.limits.connectionIdleMs,
    open: (call, socket) => {
      const peer = printHostPort({ host: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 });
      return calls.serve(call, peer, options.identify.socket(socket));
    },
  });
}

// Those of a connection that begins as the one before did are the same object.
let lastSync: readonly Header[] | undefined;

// grpc-js serves what is less usual, such as a deadline.
function isSync(headers: readonly Header[], path: string): boolean {
  if (headers === lastSync) return true;
  const of = new Map(headers);
  const isSyncCall =
    of.get(":path") === path &&
    of.get(":method") === "POST" &&
    /^application\/grpc(\+proto)?(;|$)/.test(of.get("content-type") ?? "") &&
    !of.has("grpc-timeout");
  if (isSyncCall) lastSync = headers;
  return isSyncCall;
}

function serveGrpc(call: SyncDuplex, calls: SyncCalls, options: DiscoveryServiceOptions): void {
  refuseCompressed(call);
  const input = calls.serve(new GrpcCall(call), call.getPeer(), options.identify.call(call));
  // Reasons of grpc-js come before its "cancelled".
  watchStatus(call, ({ code, details }) => {
    if (code === status.OK) return;
    input.broken(breakReasons.get(code ?? status.UNKNOWN) ?? "transport", details ?? "grpc-js ended the stream");
  });
  call.on("data", (message: Uint8Array) => input.received(message));
  call.on("end", () => input.finished());
  for (const event of ["cancelled", "close", "error"]) call.on(event, () => input.closed());
}

class GrpcCall implements SyncCall {
  readonly #call: SyncDuplex;

  constructor(call: SyncDuplex) {
    this.#call = call;
  }

  write(message: Uint8Array, written: () => void): void {
    this.#call.write(message, (error?: Error | null) => {
      if (error === undefined || error === null) written();
    });
  }

  end(code: number, message: string): void {
    // grpc-js takes the status of a stream from an emitted error; `destroy` would send none.
    if (code === statusCodes.OK) this.#call.end();
    else this.#call.emit("error", { code, details: message });
  }

  reset(): void {
    resetCall(this.#call);
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  limitMessages(bytesMax: number): void {
    limitMessage(this.#call, bytesMax);
  }
}
