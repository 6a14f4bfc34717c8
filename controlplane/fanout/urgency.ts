/** Who goes first among the streams that wait for a turn. Pure. */
import type { Urgency } from "./snapshot-turns.ts";
import type { StreamState } from "./stream-state.ts";

/** @param root Digest of the head. */
export function urgencyOf(state: StreamState, root: bigint): Urgency {
  if (state.phase !== "open" || state.progress.kind !== "queued") return "wrong";
  return state.progress.need.doubt?.digest === root ? "verify" : "wrong";
}
