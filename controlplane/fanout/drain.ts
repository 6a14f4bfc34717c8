/**
 * Asks all agents to leave a control plane that shuts down, and says to each when to come back: one after the other, so that the
 * next control plane is not stormed.
 */
import { eachPaced } from "./each-paced.ts";

/** Fewer agents than come back in this time return by their own backoff, which spreads them as far. */
const ownBackoffMs = 200;

export interface DrainOptions<T> {
  readonly streamsPerTurn: number;
  readonly returnsPerSecond: number;
  /** How long they may take to go. */
  readonly drainMs: number;
  /** From 0 to 1, exclusive. */
  readonly random: () => number;
  readonly leave: (stream: T, retryAfterMs: number) => void;
  /** Resolves when all have gone. */
  readonly left: Promise<void>;
}

/** Resolves when all have gone or the time is over. */
export async function drain<T>(streams: readonly T[], options: DrainOptions<T>): Promise<void> {
  const { streamsPerTurn, returnsPerSecond, drainMs, random, leave, left } = options;
  const times = returnTimes(streams.length, returnsPerSecond, random)[Symbol.iterator]();
  eachPaced(streams, streamsPerTurn, (stream) => leave(stream, times.next().value ?? 0));
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, drainMs);
  await Promise.race([left, promise]);
  clearTimeout(timer);
}

/** `retry_after_ms` for each of `count` agents in order; 0: by its own backoff. */
export function returnTimes(count: number, perSecond: number, random: () => number): readonly number[] {
  const windowMs = (count / perSecond) * 1_000;
  if (windowMs <= ownBackoffMs) return Array.from({ length: count }, () => 0);
  return Array.from({ length: count }, (_, i) => Math.max(1, Math.round(((i + random()) / count) * windowMs)));
}
