/** Bounds of the history that a catalog keeps for agents that come back. */
export interface CatalogLimits {
  /** Revisions whose removals are remembered. */
  readonly historyRevisionsMax: number;
  /** Bytes of remembered removals; each counts as `tombstoneBytes`. */
  readonly historyBytesMax: number;
}

/** What a tombstone costs in memory: its object, its map entry, its id (measured on Node 24: 150 to 190). */
export const tombstoneBytes = 192;

/** A day of one change per second; 64 MiB are 350,000 removals. */
export const catalogLimits: CatalogLimits = { historyRevisionsMax: 100_000, historyBytesMax: 64 * 1_024 * 1_024 };
