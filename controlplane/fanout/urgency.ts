/** Who goes first among the streams that wait for a turn. Pure. */
import type { Urgency } from "./snapshot-turns.ts";
import type { StreamState } from "./stream-state.ts";

/**
 * A node that holds nothing, or an old state of this history, or what is not ours where it should be, serves something wrong. One
 * that comes from another history, as all do after a restart, most likely differs in little.
 *
 * @param root Digest of the head.
 */
export function urgencyOf(state: StreamState, root: bigint): Urgency {
  if (state.phase !== "open" || state.progress.kind !== "queued") return "wrong";
  const { doubt, isComparable, isMismatch } = state.progress.need;
  if (doubt?.digest === root) return "verify";
  return state.isOurs || isMismatch || !isComparable ? "wrong" : "verify";
}
