/** Each Sync call of an agent, whatever carries it, becomes a stream of the fan-out. */
import { messageOf } from "@weft/proto/program/errors.ts";
import type { BrokenConnection, CallInput } from "../http2/call.ts";
import type { Unreadable } from "../http2/message-reader.ts";
import type { Identity } from "../identity.ts";
import type { Fanout } from "./fanout.ts";
import { readRequest } from "./read-request.ts";
import { ReceiveCredit, creditLimits } from "./receive-credit.ts";
import type { CreditLimits } from "./receive-credit.ts";
import { refuse, statusCodes } from "./refusal.ts";
import type { EndReason, Refusal, StatusName } from "./refusal.ts";
import type { AgentRequest } from "./reported-digests.ts";
import type { StreamLimits } from "./stream-limits.ts";
import { StreamCounts } from "./stream-counts.ts";
import type { StreamInput, StreamPort } from "./stream-port.ts";

/** Streams at a time from one connection; an agent opens one. */
const streamsPerConnectionMax = 8;
/** Streams at a time of one certificate: the old one, the new one, and some that have not ended yet. */
const streamsPerNodeMax = 8;
/** gRPC sends a status as a header, which has a limit. */
const messageLengthMax = 1_000;

export interface SyncCallsOptions {
  readonly fanout: Pick<Fanout, "open" | "throttled">;
  readonly limits: StreamLimits;
  /** Default: `creditLimits`. */
  readonly creditLimits?: CreditLimits;
}

/** What carries a call: our own HTTP/2, or grpc-js. */
export interface SyncCall {
  /** `written`: once it is on its way; never if the call is over before. */
  write(message: Uint8Array, written: () => void): void;
  /** Ends it with a status of gRPC, after what was written. */
  end(code: number, message: string): void;
  /** Ends it at once. */
  reset(): void;
  /** Nothing is received until `resume`. */
  pause(): void;
  resume(): void;
  limitMessages(bytesMax: number): void;
}

export type BreakReason = Extract<EndReason, "malformed" | "too-large" | "deadline" | "transport">;

const breakStatus: Readonly<Record<BreakReason, StatusName>> = {
  malformed: "INVALID_ARGUMENT",
  "too-large": "RESOURCE_EXHAUSTED",
  deadline: "DEADLINE_EXCEEDED",
  transport: "UNAVAILABLE",
};

export interface SyncInput extends CallInput {
  /** The carrier has ended it, or cannot read on. */
  broken(why: BreakReason, details: string): void;
}

export class SyncCalls {
  readonly #options: SyncCallsOptions;
  readonly #counts = new StreamCounts(streamsPerConnectionMax, streamsPerNodeMax);

  constructor(options: SyncCallsOptions) {
    this.#options = options;
  }

  /** @param identity Undefined: no certificate where one is needed. */
  serve(call: SyncCall, peer: string, identity: Identity | undefined): SyncInput {
    const stream = new SyncStream(call, peer, identity, this.#options, this.#counts);
    stream.open();
    return stream;
  }
}

class SyncStream implements StreamPort, SyncInput {
  readonly peer: string;
  readonly identity: Identity;
  readonly #call: SyncCall;
  readonly #options: SyncCallsOptions;
  readonly #counts: StreamCounts;
  readonly #countedAs: readonly string[];
  readonly #hasIdentity: boolean;
  readonly #credit: ReceiveCredit;
  readonly #input: StreamInput;
  #hasWritten = false;
  #hasEnded = false;
  #hasClosed = false;
  // Set while an agent that says too much is not read.
  #pause: NodeJS.Timeout | undefined;

  constructor(
    call: SyncCall,
    peer: string,
    identity: Identity | undefined,
    options: SyncCallsOptions,
    counts: StreamCounts,
  ) {
    this.#call = call;
    this.peer = peer;
    this.identity = identity ?? { kind: "client", subject: "" };
    this.#hasIdentity = identity !== undefined;
    this.#options = options;
    this.#counts = counts;
    this.#countedAs = [`peer ${peer}`, ...(identity?.kind === "node" ? [`node ${identity.node}`] : [])];
    this.#credit = new ReceiveCredit(options.creditLimits ?? creditLimits, performance.now());
    call.limitMessages(options.limits.helloBytesMax);
    this.#input = options.fanout.open(this);
  }

  /** Once, before anything is received. */
  open(): void {
    const limit = this.#counts.enter(this.#countedAs);
    if (!this.#hasIdentity) {
      const message = `${this.peer} shows no client certificate; give the agent --tls-cert and --tls-key`;
      this.#input.refuse(refuse("identity", "PERMISSION_DENIED", message));
    } else if (limit !== undefined) {
      const message = `${limit} has too many streams; is an agent started again and again?`;
      this.#input.refuse(refuse("streams-limit", "RESOURCE_EXHAUSTED", message));
    }
  }

  // ---- what the agent says

  received(message: Uint8Array): void {
    if (this.#hasEnded) return;
    const request = requestOf(message);
    if (typeof request === "string") {
      const text = `${this.peer}: not a SyncRequest: ${request}; update the agent`;
      this.#input.refuse(refuse("malformed", "INVALID_ARGUMENT", text));
      return;
    }
    this.#input.receive(request);
    const taken = this.#credit.take(message.length, performance.now());
    if (taken.kind === "go-on") return;
    if (taken.kind === "flooding") {
      this.#input.leave("flooding", "too many messages for too long; is this agent of another version?");
      return;
    }
    if (taken.isFirst) this.#options.fanout.throttled();
    this.#call.pause();
    this.#pause ??= setTimeout(() => {
      this.#pause = undefined;
      this.#call.resume();
    }, taken.forMs).unref();
  }

  unreadable(why: Unreadable | BrokenConnection): void {
    if (why.kind === "connection") this.broken("transport", `HTTP/2: ${why.details}`);
    else if (why.kind === "compressed")
      this.broken("malformed", "messages must not be compressed; turn compression off");
    else this.broken("too-large", `a message of ${why.bytes} bytes; at most ${why.bytesMax} are taken`);
  }

  broken(why: BreakReason, details: string): void {
    if (this.#hasEnded) return;
    this.#input.refuse(refuse(why, breakStatus[why], `${this.peer}: ${details}`));
  }

  finished(): void {
    if (!this.#hasEnded) this.#call.end(statusCodes.OK, "");
    this.closed();
  }

  closed(): void {
    if (this.#hasClosed) return;
    this.#hasClosed = true;
    this.#counts.leave(this.#countedAs);
    clearTimeout(this.#pause);
    this.#input.closed("closed");
  }

  // ---- what the fan-out says

  write(bytes: Uint8Array, written: () => void): void {
    if (!this.#hasWritten) this.#call.limitMessages(this.#options.limits.requestBytesMax);
    this.#hasWritten = true;
    this.#credit.wrote();
    this.#call.write(bytes, written);
  }

  end(refusal: Refusal): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const message = refusal.status === "OK" ? "" : refusal.message.slice(0, messageLengthMax);
    this.#call.end(statusCodes[refusal.status], message);
  }

  reset(refusal: Refusal): void {
    this.end(refusal);
    this.drop();
  }

  drop(): void {
    this.#call.reset();
  }
}

// A text says why it is none: the reader of a stream says what is wrong, which grpc-js would hide.
function requestOf(bytes: Uint8Array): AgentRequest | string {
  try {
    return readRequest(bytes);
  } catch (error) {
    return messageOf(error);
  }
}
