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
  /** The caller's own. */
  | "deadline"
  | "transport";

/** Codes of gRPC: https://grpc.io/docs/guides/status-codes/ */
export const statusCodes = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNAVAILABLE: 14,
} as const;
export type StatusName = keyof typeof statusCodes;

export interface Refusal {
  readonly reason: EndReason;
  readonly status: StatusName;
  /** What, where and what to do; the agent prints it. */
  readonly message: string;
}

export function refuse(reason: EndReason, status: StatusName, message: string): Refusal {
  return { reason, status, message };
}
