/** The fleet service of a worker: requests go to the main thread as they came, and answers come back as they are sent. */
import { fromBinary } from "@bufbuild/protobuf";
import type { sendUnaryData, Server, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { FleetService } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { methodDefinition } from "@weft/proto/grpc/service.ts";
import type { IdentifiableCall } from "../fanout/call-identity.ts";
import type { Identity } from "../identity.ts";
import type { Outbox } from "./outbox.ts";
import type { ToWorker } from "./worker-messages.ts";

type CallMessage = Extract<ToWorker, { kind: "call-message" | "call-end" | "call-failed" }>;

interface OpenCall {
  message(bytes: Uint8Array): void;
  end(): void;
  fail(error: { readonly code: number; readonly details: string }): void;
}

type Unary = ServerUnaryCall<Uint8Array, Buffer>;
type Streaming = ServerWritableStream<Uint8Array, Buffer>;

export class ForwardingService {
  readonly #outbox: Outbox;
  readonly #identify: (call: IdentifiableCall) => Identity | undefined;
  readonly #calls = new Map<number, OpenCall>();
  #count = 0;

  constructor(outbox: Outbox, identify: (call: IdentifiableCall) => Identity | undefined) {
    this.#outbox = outbox;
    this.#identify = identify;
  }

  addTo(server: Server): void {
    const methods = FleetService.methods.map((method) => {
      const definition = {
        ...methodDefinition(method),
        // Read here only so that a malformed one is refused as grpc-js refuses it.
        requestDeserialize: (bytes: Buffer) => {
          fromBinary(method.input, bytes);
          return bytes;
        },
        responseSerialize: (bytes: Buffer) => bytes,
      };
      const name = method.localName;
      const serve =
        method.methodKind === "unary"
          ? (call: Unary, answer: sendUnaryData<Buffer>) => this.#unary(name, call, answer)
          : (call: Streaming) => this.#streaming(name, call);
      return { name, definition, serve };
    });
    server.addService(
      Object.fromEntries(methods.map(({ name, definition }) => [name, definition])),
      Object.fromEntries(methods.map(({ name, serve }) => [name, serve])),
    );
  }

  take(message: CallMessage): void {
    const call = this.#calls.get(message.call);
    if (call === undefined) return;
    if (message.kind === "call-message") {
      call.message(message.bytes);
      return;
    }
    this.#calls.delete(message.call);
    if (message.kind === "call-end") call.end();
    else call.fail({ code: message.code, details: message.details });
  }

  #unary(method: string, call: Unary, answer: sendUnaryData<Buffer>): void {
    this.#open(method, call, {
      message: (bytes) => answer(null, Buffer.from(bytes)),
      end: () => undefined,
      fail: (error) => answer(error),
    });
  }

  #streaming(method: string, call: Streaming): void {
    const id = this.#open(method, call, {
      message: (bytes) =>
        void call.write(Buffer.from(bytes), () => this.#outbox.put({ kind: "call-taken", call: id, messages: 1 })),
      end: () => call.end(),
      fail: (error) => void call.emit("error", error),
    });
    call.on("error", () => this.#closed(id));
    call.on("close", () => this.#closed(id));
  }

  #open(method: string, call: Unary | Streaming, open: OpenCall): number {
    const id = ++this.#count;
    this.#calls.set(id, open);
    call.on("cancelled", () => this.#closed(id));
    const { request } = call;
    this.#outbox.put({
      kind: "call",
      call: id,
      method,
      request,
      identity: this.#identify(call),
      peer: call.getPeer(),
    });
    return id;
  }

  #closed(id: number): void {
    if (this.#calls.delete(id)) this.#outbox.put({ kind: "call-closed", call: id });
  }
}
