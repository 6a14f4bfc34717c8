/** Calls of the fleet service that came to a worker: answered in the main thread by the same service as without workers. */
import { status } from "@grpc/grpc-js";
import type { Server } from "@grpc/grpc-js";
import type { DescMethod } from "@bufbuild/protobuf";
import { FleetService } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { methodDefinition } from "@weft/proto/grpc/service.ts";
import { messageOf } from "@weft/proto/program/errors.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Identity } from "../identity.ts";
import type { FromWorker, ToWorker } from "./worker-messages.ts";

/** Bytes and messages on their way to a reader, beyond which it is behind. */
const unreadBytesMax = 2 * 1_024 * 1_024;
const unreadMessagesMax = 64;

type Call = Extract<FromWorker, { kind: "call" }>;
type CallEvent = Extract<FromWorker, { kind: "call" | "call-taken" | "call-closed" }>;
type Post = (message: ToWorker) => void;
type Failure = { readonly code?: number; readonly details?: string };
type Serve = (call: ForwardedCall, answer: (error: Failure | null, value?: unknown) => void) => void;

export class ForwardedCalls implements Pick<Server, "addService"> {
  readonly #log: Log;
  readonly #methods = new Map<string, { readonly method: DescMethod; readonly serve: Serve }>();
  /** By worker and number. */
  readonly #calls = new Map<number, Map<number, ForwardedCall>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Who makes a call: the worker has read the certificate. */
  static identityOf(this: void, call: object): Identity | undefined {
    return call instanceof ForwardedCall ? call.identity : undefined;
  }

  addService(...[, service]: Parameters<Server["addService"]>): void {
    for (const method of FleetService.methods) {
      const serve: unknown = service[method.localName];
      if (typeof serve !== "function") throw new Error(`the fleet service lacks ${method.localName}`);
      this.#methods.set(method.localName, { method, serve: serve as Serve });
    }
  }

  take(worker: number, event: CallEvent, post: Post): void {
    const open = this.#calls.get(worker) ?? new Map<number, ForwardedCall>();
    this.#calls.set(worker, open);
    if (event.kind === "call") {
      this.#serve(event, post, open);
      return;
    }
    const call = open.get(event.call);
    if (event.kind === "call-taken") call?.taken(event.messages);
    else call?.close();
  }

  workerEnded(worker: number): void {
    for (const call of this.#calls.get(worker)?.values() ?? []) call.close();
    this.#calls.delete(worker);
  }

  #serve(of: Call, post: Post, open: Map<number, ForwardedCall>): void {
    const known = this.#methods.get(of.method);
    if (known === undefined) {
      post({ kind: "call-failed", call: of.call, code: status.UNIMPLEMENTED, details: `no method ${of.method}` });
      return;
    }
    const definition = methodDefinition(known.method);
    const encode = (message: unknown): Uint8Array => definition.responseSerialize(message as never);
    const request: unknown = definition.requestDeserialize(Buffer.from(of.request));
    const call = new ForwardedCall(of, request, encode, post, () => open.delete(of.call));
    open.set(of.call, call);
    try {
      known.serve(call, (error, value) => {
        if (error !== null) call.emit("error", error);
        else {
          call.write(value);
          call.end();
        }
      });
    } catch (error) {
      this.#log.error("a call failed", { method: of.method, error: messageOf(error) });
      call.emit("error", { code: status.UNKNOWN, details: "the control plane failed; see its log" });
    }
  }
}

type CallListener = () => void;

/** What the fleet service uses of a call of grpc-js. */
export class ForwardedCall {
  readonly request: unknown;
  readonly identity: Identity | undefined;
  readonly #of: Call;
  readonly #encode: (message: unknown) => Uint8Array;
  readonly #post: Post;
  readonly #ended: () => void;
  readonly #listeners = new Map<string, CallListener[]>();
  // Sizes of messages that were not taken yet.
  readonly #unread: number[] = [];
  #unreadBytes = 0;
  #isFull = false;
  #isOver = false;

  constructor(of: Call, request: unknown, encode: (message: unknown) => Uint8Array, post: Post, ended: () => void) {
    this.#of = of;
    this.request = request;
    this.identity = of.identity;
    this.#encode = encode;
    this.#post = post;
    this.#ended = ended;
  }

  getPeer(): string {
    return this.#of.peer;
  }

  on(event: string, listener: CallListener): this {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    return this;
  }

  write(message: unknown): boolean {
    if (this.#isOver) return false;
    const bytes = this.#encode(message);
    this.#unread.push(bytes.length);
    this.#unreadBytes += bytes.length;
    this.#post({ kind: "call-message", call: this.#of.call, bytes });
    this.#isFull = this.#unreadBytes > unreadBytesMax || this.#unread.length > unreadMessagesMax;
    return !this.#isFull;
  }

  end(): void {
    if (this.#over()) this.#post({ kind: "call-end", call: this.#of.call });
  }

  emit(_event: "error", error: Failure): boolean {
    const { code = status.UNKNOWN, details = "" } = error;
    if (this.#over()) this.#post({ kind: "call-failed", call: this.#of.call, code, details });
    return true;
  }

  /** The reader has taken so many more. */
  taken(messages: number): void {
    for (const bytes of this.#unread.splice(0, messages)) this.#unreadBytes -= bytes;
    if (!this.#isFull || this.#unread.length > 0) return;
    this.#isFull = false;
    this.#tell("drain");
  }

  /** The caller is gone. */
  close(): void {
    if (!this.#over()) return;
    this.#tell("cancelled");
    this.#tell("close");
  }

  // False: it was over already.
  #over(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#ended();
    return true;
  }

  #tell(event: string): void {
    for (const listener of this.#listeners.get(event) ?? []) listener();
  }
}
