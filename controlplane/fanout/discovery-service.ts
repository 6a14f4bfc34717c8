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
import { limitMessage, refuseCompressed, resetCall, watchStatus } from "./grpc-call.ts";
import { readPlainAck } from "./read-ack.ts";
import { ReceiveCredit, creditLimits } from "./receive-credit.ts";
import type { CreditLimits } from "./receive-credit.ts";
import { shortWay } from "./short-way.ts";
import type { Write } from "./short-way.ts";
import { refuse } from "./refusal.ts";
import type { EndReason, Refusal } from "./refusal.ts";
import type { StreamLimits } from "./stream-limits.ts";
import { StreamCounts } from "./stream-counts.ts";
import type { StreamInput, StreamPort } from "./stream-port.ts";

/** Streams at a time from one connection; an agent opens one. */
const streamsPerConnectionMax = 8;
/** Streams at a time of one certificate: the old one, the new one, and some that have not ended yet. */
const streamsPerNodeMax = 8;
/** gRPC sends a status as a header, which has a limit. */
const messageLengthMax = 1_000;

/** What grpc-js ends by itself. */
const endReasons: ReadonlyMap<status, EndReason> = new Map([
  [status.RESOURCE_EXHAUSTED, "too-large"],
  // Compressed messages.
  [status.UNIMPLEMENTED, "malformed"],
]);

/** A request, or why it cannot be read: the reader of a stream says what is wrong, which grpc-js would hide. */
type Received =
  | { readonly kind: "request"; readonly request: SyncRequest; readonly bytes: number }
  | { readonly kind: "malformed"; readonly problem: string };

export interface DiscoveryServiceOptions {
  readonly fanout: Pick<Fanout, "open" | "throttled">;
  readonly limits: StreamLimits;
  /** Default: `creditLimits`. */
  readonly creditLimits?: CreditLimits;
  /** Undefined: no certificate where one is needed. */
  readonly identify: (call: IdentifiableCall) => Identity | undefined;
}

/** Call before the server listens. */
export function addDiscoveryService(server: Server, options: DiscoveryServiceOptions): void {
  const sync = { ...methodDefinition(DiscoveryService.method.sync), requestDeserialize: receivedOf };
  const streams = new StreamCounts(streamsPerConnectionMax, streamsPerNodeMax);
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
    const request = { $typeName: "weft.discovery.v1.SyncRequest", message } as const;
    return { kind: "request", request, bytes: bytes.length };
  }
  try {
    return { kind: "request", request: fromBinary(SyncRequestSchema, bytes), bytes: bytes.length };
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
  const credit = new ReceiveCredit(options.creditLimits ?? creditLimits, performance.now());
  const { requestBytesMax, helloBytesMax } = options.limits;
  refuseCompressed(call);
  limitMessage(call, helloBytesMax);
  const receive = (received: Received): void => {
    if (port.hasEnded) return;
    if (received.kind === "malformed") {
      const message = `${peer}: not a SyncRequest: ${received.problem}; update the agent`;
      input.refuse(refuse("malformed", "INVALID_ARGUMENT", message));
      return;
    }
    input.receive(received.request);
    throttle.received(received.bytes);
  };
  const wrote = (isFirst: boolean): void => {
    if (isFirst) limitMessage(call, requestBytesMax);
    credit.wrote();
  };
  const writeShort = shortWay(call, receive);
  const port = new CallPort(call, peer, identity ?? { kind: "client", subject: "" }, wrote, writeShort);
  const input = options.fanout.open(port);
  const throttle = new Throttle(call, input, credit, () => options.fanout.throttled());
  const keys = [`peer ${peer}`, ...(identity?.kind === "node" ? [`node ${identity.node}`] : [])];

  let hasClosed = false;
  const close = (reason: string): void => {
    if (hasClosed) return;
    hasClosed = true;
    streams.leave(keys);
    throttle.stop();
    input.closed(reason);
  };
  // Reasons of grpc-js come before its "cancelled".
  watchStatus(call, ({ code, details }) => {
    if (code === status.OK || port.hasEnded) return;
    const reason = endReasons.get(code ?? status.UNKNOWN) ?? "transport";
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
  readonly #wrote: (isFirst: boolean) => void;
  readonly #writeShort: Write | undefined;
  #hasWritten = false;
  #hasEnded = false;

  constructor(
    call: ServerDuplexStream<Received, Uint8Array>,
    peer: string,
    identity: Identity,
    wrote: (isFirst: boolean) => void,
    writeShort: Write | undefined,
  ) {
    this.#call = call;
    this.#wrote = wrote;
    this.#writeShort = writeShort;
    this.peer = peer;
    this.identity = identity;
  }

  /** The fan-out has ended it; what grpc-js says afterwards is no news. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  write(bytes: Uint8Array, written: () => void): void {
    this.#wrote(!this.#hasWritten);
    this.#hasWritten = true;
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
    this.drop();
  }

  drop(): void {
    resetCall(this.#call);
  }
}

// Stops reading for a while when an agent says too much; then the transport's window is all that it can fill.
class Throttle {
  readonly #call: ServerDuplexStream<Received, Uint8Array>;
  readonly #input: StreamInput;
  readonly #credit: ReceiveCredit;
  readonly #paused: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    call: ServerDuplexStream<Received, Uint8Array>,
    input: StreamInput,
    credit: ReceiveCredit,
    paused: () => void,
  ) {
    this.#call = call;
    this.#input = input;
    this.#credit = credit;
    this.#paused = paused;
  }

  received(bytes: number): void {
    const taken = this.#credit.take(bytes, performance.now());
    if (taken.kind === "go-on") return;
    if (taken.kind === "flooding") {
      this.#input.leave("flooding", "too many messages for too long; is this agent of another version?");
      return;
    }
    if (taken.isFirst) this.#paused();
    this.#call.pause();
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#call.resume();
    }, taken.forMs).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
