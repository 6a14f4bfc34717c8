/** Why a stream is ended by us: closed words, each a label of a metric, and the gRPC status that goes with it. */
export type EndReason =
  | "malformed"
  | "too-large"
  | "bad-hello"
  | "hello-late"
  | "hello-twice"
  | "ack-before-hello"
  | "ack-of-future"
  | "bad-ack"
  | "digests-unasked"
  | "bad-digests"
  | "protocol"
  | "identity"
  | "instance"
  | "epoch-ahead"
  | "cursor-of-future"
  | "streams-limit"
  | "overloaded"
  | "flooding"
  | "replaced"
  | "silent"
  | "stalled"
  | "draining"
  | "transport";

export type StatusName =
  | "OK"
  | "INVALID_ARGUMENT"
  | "FAILED_PRECONDITION"
  | "PERMISSION_DENIED"
  | "ALREADY_EXISTS"
  | "RESOURCE_EXHAUSTED"
  | "DEADLINE_EXCEEDED"
  | "UNAVAILABLE";

export interface Refusal {
  readonly reason: EndReason;
  readonly status: StatusName;
  /** What, where and what to do; the agent prints it. */
  readonly message: string;
}

export function refuse(reason: EndReason, status: StatusName, message: string): Refusal {
  return { reason, status, message };
}
