/** Bounds of a Sync stream, on both of its sides. */
export interface StreamLimits {
  /** Interval of heartbeats; a side that is silent for `silentIntervals` of them is ended. */
  readonly heartbeatMs: number;
  /** The first heartbeat comes earlier, so that a round trip is known soon. */
  readonly firstHeartbeatMs: number;
  readonly silentIntervals: number;
  /** From the start of a stream to its Hello. */
  readonly helloMs: number;
  /** A connection without a call is ended after this. */
  readonly connectionIdleMs: number;
  /** One write may be unread for this long. */
  readonly stalledMs: number;
  /** From a digest query until its answer is complete; then a snapshot takes the place of the repair. */
  readonly digestsMs: number;
  /** Largest message to an agent. */
  readonly messageBytesMax: number;
  /** Largest message from an agent; the first one, its Hello, may have `helloBytesMax`. */
  readonly requestBytesMax: number;
  readonly helloBytesMax: number;
  /** Failures in one ack. */
  readonly failuresMax: number;
  /** Addresses in one Hello or Ack. */
  readonly addressesMax: number;
  /** How far ahead of our clock an agent's epoch may be and still rename ours. */
  readonly epochAheadMaxMs: number;
}

export const streamLimits: StreamLimits = {
  heartbeatMs: 10_000,
  firstHeartbeatMs: 1_000,
  silentIntervals: 3,
  helloMs: 10_000,
  connectionIdleMs: 20_000,
  stalledMs: 30_000,
  digestsMs: 15_000,
  messageBytesMax: 4 * 1_024 * 1_024,
  requestBytesMax: 1_024 * 1_024,
  helloBytesMax: 64 * 1_024,
  failuresMax: 1_000,
  addressesMax: 256,
  epochAheadMaxMs: 24 * 3_600 * 1_000,
};

/** The protocol that this program speaks; see `Hello.protocol`. */
export const protocolNumber = 1;
