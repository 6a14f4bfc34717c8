/** One stream as the fan-out keeps it, and what its transport speaks to: one object, since thousands are touched with every revision. */
import type { NodeRef } from "../fleet/fleet-observer.ts";
import type { Flush } from "./flush.ts";
import type { Refusal } from "./refusal.ts";
import type { AgentRequest } from "./reported-digests.ts";
import type { GoawayWord } from "./responses.ts";
import { nobody } from "./steady-streams.ts";
import type { StreamInput, StreamPort } from "./stream-port.ts";
import type { StreamState } from "./stream-state.ts";

/** Whom streams belong to. */
export interface StreamOwner {
  receive(stream: Stream, request: AgentRequest): void;
  refuse(stream: Stream, refusal: Refusal): void;
  leave(stream: Stream, reason: GoawayWord, message: string, retryAfterMs: number | undefined): void;
  closed(stream: Stream, reason: string): void;
  written(stream: Stream): void;
}

/** An agent that was admitted. */
export interface StreamAgent {
  readonly node: string;
  readonly instance: bigint;
}

export class Stream implements StreamInput {
  readonly port: StreamPort;
  /** Its place in `SteadyStreams`. */
  slot = nobody;
  /** As `step` left it; quick transitions since are in its slot. */
  state: StreamState;
  agent: StreamAgent | undefined;
  /** By which the fleet knows it, once it was admitted. */
  node: NodeRef = "";
  flush: Flush | undefined;
  /** It is counted as ended; its socket may take longer to go. */
  hasLeft = false;
  /** For every write: its bytes are on their way. */
  readonly written: () => void;
  readonly #owner: StreamOwner;

  constructor(owner: StreamOwner, port: StreamPort, state: StreamState) {
    this.#owner = owner;
    this.port = port;
    this.state = state;
    this.written = () => owner.written(this);
  }

  receive(request: AgentRequest): void {
    this.#owner.receive(this, request);
  }

  refuse(refusal: Refusal): void {
    this.#owner.refuse(this, refusal);
  }

  leave(reason: GoawayWord, message: string, retryAfterMs?: number): void {
    this.#owner.leave(this, reason, message, retryAfterMs);
  }

  closed(reason: string): void {
    this.#owner.closed(this, reason);
  }
}
