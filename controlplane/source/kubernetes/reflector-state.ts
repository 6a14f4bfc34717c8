/**
 * The states of one kind's reflector, what can happen to it, and what it wants done. After client-go's reflector.
 *
 * - Objects that a list or the initial events of a stream bring are collected; only a complete collection replaces what is held.
 * - `version` never goes back within one history: an event that is not above it is a replay.
 */
import type { ApiFailure } from "./api-failure.ts";
import { noFailures } from "./backoff.ts";
import type { Backoff, BackoffLimits } from "./backoff.ts";

export interface ReflectorLimits extends BackoffLimits {
  /** Asked of a watch: at least this, at most twice. */
  readonly watchSecondsMin: number;
  /** Beyond the end of a watch that was agreed, where the API server sends no bookmarks. */
  readonly watchMarginMs: number;
  /** Without one byte, where the API server sends bookmarks (about every minute). */
  readonly quietMs: number;
  /** The same, until a list or the initial events are complete. */
  readonly listQuietMs: number;
  /** A watch that ended within this time and brought nothing is a failure. */
  readonly shortWatchMs: number;
  readonly pageSize: number;
  /** Of one list; a list without end is a fault. */
  readonly pagesMax: number;
  /** How long an API server that refused initial events is asked for lists instead. */
  readonly streamBlockedMs: number;
  /** How often to look for a kind that is not served. */
  readonly absentRetryMs: number;
  /** Longest Retry-After that is obeyed. */
  readonly retryAfterMaxMs: number;
}

export const reflectorLimits: ReflectorLimits = {
  watchSecondsMin: 300,
  watchMarginMs: 30_000,
  quietMs: 150_000,
  listQuietMs: 75_000,
  shortWatchMs: 1_000,
  pageSize: 500,
  pagesMax: 100_000,
  streamBlockedMs: 600_000,
  absentRetryMs: 300_000,
  retryAfterMaxMs: 300_000,
  backoffFirstMs: 800,
  backoffMostMs: 30_000,
};

/** Why everything is asked for (again). */
export type SyncReason = "start" | "expired" | "too-large" | "outage" | "silent" | "malformed" | "not-served";

/** What lasts over all states. */
export interface Memory {
  /** Newest resourceVersion that was taken in; "": none. */
  readonly version: string;
  /** The API server cannot go on from `version`. */
  readonly isVersionLost: boolean;
  readonly isSynced: boolean;
  /** Bookmarks have come without being the end of initial events. */
  readonly hasBookmarks: boolean;
  /** Until then lists are asked for, not streams. */
  readonly streamBlockedUntilMs: number;
  /** Streams that broke before their initial events were complete, in a row. */
  readonly streamsBroken: number;
  /** A continue token expired: the next list has no pages. */
  readonly isUnpaged: boolean;
  readonly syncReason: SyncReason;
  readonly backoff: Backoff;
}

export const freshMemory: Memory = {
  version: "",
  isVersionLost: false,
  isSynced: false,
  hasBookmarks: false,
  streamBlockedUntilMs: 0,
  streamsBroken: 0,
  isUnpaged: false,
  syncReason: "start",
  backoff: noFailures,
};

export type ReflectorState = { readonly memory: Memory } & (
  | { readonly phase: "idle" }
  /** The initial events of a watch are collected. */
  | { readonly phase: "streaming"; readonly sinceMs: number; readonly watchSeconds: number }
  | { readonly phase: "listing"; readonly pages: number; readonly isPaged: boolean }
  | {
      readonly phase: "watching";
      /** Undefined: not answered yet. */
      readonly openedMs: number | undefined;
      readonly watchSeconds: number;
      /** Something new came. */
      readonly isAdvanced: boolean;
    }
  | { readonly phase: "waiting"; readonly next: "sync" | "watch" }
);

export type ReflectorEvent =
  | { readonly kind: "start" }
  /** A wait is over. */
  | { readonly kind: "due" }
  /** The API server answered 200 to a stream or watch. */
  | { readonly kind: "opened" }
  /** A page of a list; `continueToken` "": the last. */
  | { readonly kind: "page"; readonly version: string; readonly continueToken: string }
  /** An object was added, changed or removed. */
  | { readonly kind: "object"; readonly version: string }
  | { readonly kind: "bookmark"; readonly version: string; readonly isInitialEnd: boolean }
  /** The answer ended as it should. */
  | { readonly kind: "ended" }
  | { readonly kind: "failed"; readonly failure: ApiFailure };

/** The next thing to do; what it leads to are events. At most one at a time is under way. */
export type ReflectorRequest =
  /**
   * A watch with initial events: everything as it is now. Starts a collection. Never "not older than" a version: an API server that
   * lost its data answers 200 and then waits for its history to get there.
   */
  | { readonly kind: "stream"; readonly timeoutSeconds: number }
  /** Without `continueToken` it starts a collection. `limit` 0: no pages. */
  | { readonly kind: "list"; readonly version: string; readonly limit: number; readonly continueToken: string }
  | { readonly kind: "watch"; readonly version: string; readonly timeoutSeconds: number }
  | { readonly kind: "wait"; readonly delayMs: number };

/** What to do at once. */
export type ReflectorEffect =
  /** With the object of this event. */
  | { readonly kind: "collect" }
  | { readonly kind: "apply" }
  /** It is a replay. */
  | { readonly kind: "skip" }
  /** The collection is complete: what is held becomes that. */
  | { readonly kind: "replace"; readonly reason: SyncReason }
  /** The API server does not serve the kind: there are none. */
  | { readonly kind: "absent" }
  /** What is remembered of credentials must be read again. */
  | { readonly kind: "renew" }
  | { readonly kind: "report"; readonly failure: ApiFailure }
  /** Lists are asked for from now on, since initial events are refused. No fault: most API servers before 1.34 do so. */
  | { readonly kind: "fall-back"; readonly failure: ApiFailure };

export interface Step {
  readonly state: ReflectorState;
  readonly effects: readonly ReflectorEffect[];
  /** Undefined: what is under way goes on. */
  readonly request: ReflectorRequest | undefined;
}

/** Longest time without one byte in this state. */
export function quietMsOf(state: ReflectorState, limits: ReflectorLimits): number {
  if (state.phase !== "watching" || state.openedMs === undefined) return limits.listQuietMs;
  return state.memory.hasBookmarks ? limits.quietMs : state.watchSeconds * 1_000 + limits.watchMarginMs;
}
