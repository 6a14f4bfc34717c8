/** What lies between a stream of the fan-out and its transport. */
import type { Identity } from "../identity.ts";
import type { Refusal } from "./refusal.ts";
import type { AgentRequest } from "./reported-digests.ts";
import type { GoawayWord } from "./responses.ts";

/** The other end of a stream. */
export interface StreamPort {
  /** "ip:port". */
  readonly peer: string;
  readonly identity: Identity;
  /** `written` is called once the bytes are on their way; never if the stream ends before. */
  write(bytes: Uint8Array, written: () => void): void;
  /** Ends the stream with a status, after what was written. */
  end(refusal: Refusal): void;
  /** Ends the stream at once; what was not sent yet is dropped. */
  reset(refusal: Refusal): void;
  /** Drops one that was ended and does not go. */
  drop(): void;
}

/** How a stream's transport speaks to the fan-out. */
export interface StreamInput {
  receive(request: AgentRequest): void;
  /** A message that breaks the protocol before it can be read. */
  refuse(refusal: Refusal): void;
  /** Asks the agent to leave, in words that it can read. `retryAfterMs`: until it may come back; default: some time. */
  leave(reason: GoawayWord, message: string, retryAfterMs?: number): void;
  /** The stream is gone. `reason`: "closed" if the agent ended it. */
  closed(reason: string): void;
}
