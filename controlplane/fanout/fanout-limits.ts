import type { PaceLimits } from "./hello-pace.ts";

/** Bounds of the work of all streams together. */
export interface FanoutLimits {
  /** Streams visited in one turn of the event loop. */
  readonly streamsPerTurn: number;
  /** Streams, of agents that said Hello and others; more are asked to come back later. */
  readonly streamsMax: number;
  /** Snapshots in flight. */
  readonly snapshotsMax: number;
  /** One of which a part is unread, or a question unanswered, for this long is stuck: it does not count among those in flight any more. */
  readonly snapshotStuckMs: number;
  /** One that lasts longer does not count any more either, while others wait and fewer than `snapshotsStuckMax` do not count. Nobody is ended for it. */
  readonly snapshotTurnMs: number;
  /** Beyond so many the one that has been stuck longest is ended, or gets a snapshot in place of the question. Each holds a part in memory. */
  readonly snapshotsStuckMax: number;
  readonly pace: PaceLimits;
  /** An agent that is asked to leave because of too much comes back after once to twice this. */
  readonly retryAfterMs: number;
  /** Agents whose highest revision is remembered after they left. */
  readonly agentsRememberedMax: number;
  /** Interval at which deadlines are looked at. */
  readonly tickMs: number;
  /** An ended stream that does not go is cut after this. */
  readonly lingerMs: number;
  /** How long streams may take to end at shutdown. */
  readonly drainMs: number;
  /** How many agents come back after a shutdown in a second. */
  readonly returnsPerSecond: number;
}

export const fanoutLimits: FanoutLimits = {
  streamsPerTurn: 32,
  streamsMax: 20_000,
  snapshotsMax: 64,
  snapshotStuckMs: 2_000,
  snapshotTurnMs: 5_000,
  snapshotsStuckMax: 64,
  pace: { perSecond: 1_000, burst: 8_192, perNodeSecond: 1, nodeBurst: 32, nodesMax: 20_000, retryMaxMs: 60_000 },
  retryAfterMs: 5_000,
  agentsRememberedMax: 20_000,
  tickMs: 250,
  lingerMs: 5_000,
  drainMs: 5_000,
  returnsPerSecond: 1_000,
};
