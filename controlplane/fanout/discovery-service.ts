/** `weft.discovery.v1` over grpc-js: each Sync call becomes a stream of the fan-out. */
import { fromBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import type { Server, ServerDuplexStream } from "@grpc/grpc-js";
import { DiscoveryService, SyncRequestSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { SyncRequest } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { methodDefinition } from "@weft/proto/grpc/service.ts";
import { messageOf } from "@weft/proto/program/errors.ts";
import type { Identity } from "../identity.ts";
import type { IdentifiableCall } from "./call-identity.ts";
import type { Fanout } from "./fanout.ts";
import { resetCall, watchStatus } from "./grpc-call.ts";
import { readPlainAck } from "./read-ack.ts";
import { shortWay } from "./short-way.ts";
import type { Write } from "./short-way.ts";
import { refuse } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import type { StreamPort } from "./stream-port.ts";

/** Streams at a time from one connection (an agent opens one; a simulation of many agents may share one). */
const streamsPerConnectionMax = 1_024;
/** Streams at a time of one certificate: the old one, the new one, and some that have not ended yet. */
const streamsPerNodeMax = 8;
/** gRPC sends a status as a header, which has a limit. */
const messageLengthMax = 1_000;

/** A request, or why it cannot be read: the reader of a stream says what is wrong, which grpc-js would hide. */
type Received =
  | { readonly kind: "request"; readonly request: SyncRequest }
  | { readonly kind: "malformed"; readonly problem: string };

export interface DiscoveryServiceOptions {
  readonly fanout: Fanout;
  /** Undefined: no certificate where one is needed. */
  readonly identify: (call: IdentifiableCall) => Identity | undefined;
}

/** Call before the server listens. */
export function addDiscoveryService(server: Server, options: DiscoveryServiceOptions): void {
  const sync = { ...methodDefinition(DiscoveryService.method.sync), requestDeserialize: receivedOf };
  const streams = new StreamCounts();
  server.addService(
    { sync },
    {
      sync: (call: ServerDuplexStream<Received, Uint8Array>) => serve(call, options, streams),
    },
  );
}

function receivedOf(bytes: Buffer): Received {
  const ack = readPlainAck(bytes);
  if (ack !== undefined) {
    const message = { case: "ack", value: ack } as const;
    return { kind: "request", request: { $typeName: "weft.discovery.v1.SyncRequest", message } };
  }
  try {
    return { kind: "request", request: fromBinary(SyncRequestSchema, bytes) };
  } catch (error) {
    return { kind: "malformed", problem: messageOf(error) };
  }
}

function serve(
  call: ServerDuplexStream<Received, Uint8Array>,
  options: DiscoveryServiceOptions,
  streams: StreamCounts,
): void {
  const peer = call.getPeer();
  const identity = options.identify(call);
  const receive = (received: Received): void => {
    if (received.kind === "request") input.receive(received.request);
    else
      input.refuse(
        refuse("malformed", "INVALID_ARGUMENT", `${peer}: not a SyncRequest: ${received.problem}; update the agent`),
      );
  };
  const port = new CallPort(call, peer, identity ?? { kind: "client", subject: "" }, shortWay(call, receive));
  const input = options.fanout.open(port);
  const keys = [`peer ${peer}`, ...(identity?.kind === "node" ? [`node ${identity.node}`] : [])];

  let hasClosed = false;
  const close = (reason: string): void => {
    if (hasClosed) return;
    hasClosed = true;
    streams.leave(keys);
    input.closed(reason);
  };
  // Reasons of grpc-js come before its "cancelled".
  watchStatus(call, ({ code, details }) => {
    if (code === status.OK || port.hasEnded) return;
    const reason = code === status.RESOURCE_EXHAUSTED ? "too-large" : "transport";
    input.refuse(refuse(reason, "RESOURCE_EXHAUSTED", `${peer}: ${details ?? "grpc-js ended the stream"}`));
  });
  call.on("data", receive);
  call.on("end", () => {
    if (!port.hasEnded) call.end();
    close("closed");
  });
  call.on("cancelled", () => close("closed"));
  call.on("close", () => close("closed"));
  call.on("error", () => close("closed"));

  const limit = streams.enter(keys);
  if (identity === undefined) {
    const message = `${peer} shows no client certificate; give the agent --tls-cert and --tls-key`;
    input.refuse(refuse("identity", "PERMISSION_DENIED", message));
  } else if (limit !== undefined) {
    input.refuse(
      refuse(
        "streams-limit",
        "RESOURCE_EXHAUSTED",
        `${limit} has too many streams; is an agent started again and again?`,
      ),
    );
  }
}

class CallPort implements StreamPort {
  readonly peer: string;
  readonly identity: Identity;
  readonly #call: ServerDuplexStream<Received, Uint8Array>;
  readonly #writeShort: Write | undefined;
  #hasEnded = false;

  constructor(
    call: ServerDuplexStream<Received, Uint8Array>,
    peer: string,
    identity: Identity,
    writeShort: Write | undefined,
  ) {
    this.#call = call;
    this.#writeShort = writeShort;
    this.peer = peer;
    this.identity = identity;
  }

  /** The fan-out has ended it; what grpc-js says afterwards is no news. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  write(bytes: Uint8Array, written: () => void): void {
    if (this.#writeShort !== undefined) {
      this.#writeShort(bytes, written);
      return;
    }
    this.#call.write(bytes, (error?: Error | null) => {
      if (error === undefined || error === null) written();
    });
  }

  end(refusal: Refusal): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (refusal.status === "OK") this.#call.end();
    // grpc-js takes the status of a stream from an emitted error; `destroy` would send none.
    else
      this.#call.emit("error", { code: status[refusal.status], details: refusal.message.slice(0, messageLengthMax) });
  }

  reset(refusal: Refusal): void {
    this.end(refusal);
    resetCall(this.#call);
  }
}

/** How many streams a connection or a certificate has. */
class StreamCounts {
  readonly #counts = new Map<string, number>();

  /** Returns the key that is over its limit, if one is. */
  enter(keys: readonly string[]): string | undefined {
    let over: string | undefined;
    for (const key of keys) {
      const count = (this.#counts.get(key) ?? 0) + 1;
      this.#counts.set(key, count);
      if (count > (key.startsWith("peer ") ? streamsPerConnectionMax : streamsPerNodeMax)) over = key;
    }
    return over;
  }

  leave(keys: readonly string[]): void {
    for (const key of keys) {
      const count = (this.#counts.get(key) ?? 0) - 1;
      if (count > 0) this.#counts.set(key, count);
      else this.#counts.delete(key);
    }
  }
}
