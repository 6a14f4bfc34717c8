/** How a stream ends, and what it gives back then. */
import { refuse } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import { encodeGoaway } from "./responses.ts";
import type { GoawayWord } from "./responses.ts";
import type { Effect, OpenStream, Step, StreamState } from "./stream-state.ts";

export const endedStream: StreamState = { phase: "ended" };
export const nothing: readonly Effect[] = [];

export function leave(
  state: OpenStream | undefined,
  why: { readonly reason: GoawayWord; readonly message: string; readonly retryAfterMs: number },
): Step {
  const refusal = refuse(why.reason, why.reason === "draining" ? "OK" : "UNAVAILABLE", why.message);
  // Others may still read why; one that does not is cut a little later.
  const isStuck = state?.writing !== undefined && why.reason === "stalled";
  const last: Effect = { kind: "end", refusal, isStuck };
  const goaway: Effect = { kind: "write", bytes: encodeGoaway(why.reason, why.message, why.retryAfterMs) };
  const effects = isStuck ? [last] : [goaway, last];
  return { state: endedStream, effects: state === undefined ? effects : [...releaseOf(state), ...effects] };
}

export function end(refusal: Refusal, state?: OpenStream): Step {
  const effect: Effect = { kind: "end", refusal, isStuck: false };
  return { state: endedStream, effects: state === undefined ? [effect] : [...releaseOf(state), effect] };
}

/** A stream that ends gives back its turn, or its place in the queue. */
export function releaseOf(state: OpenStream): readonly Effect[] {
  return state.hasTurn || state.progress.kind === "queued" ? [{ kind: "release-snapshot" }] : nothing;
}
