/** Bounds of the work of all streams together. */
export interface FanoutLimits {
  /** Streams visited in one turn of the event loop. */
  readonly streamsPerTurn: number;
  /** Snapshots in flight. */
  readonly snapshotsMax: number;
  /** Agents whose highest revision is remembered after they left. */
  readonly agentsRememberedMax: number;
  /** Interval at which deadlines are looked at. */
  readonly tickMs: number;
  /** How long streams may take to end at shutdown. */
  readonly drainMs: number;
}

export const fanoutLimits: FanoutLimits = {
  streamsPerTurn: 32,
  snapshotsMax: 64,
  agentsRememberedMax: 20_000,
  tickMs: 250,
  drainMs: 1_000,
};
