/** States, events and effects of an agent's conversation with a control plane. SPEC.md is the prose; sync-step.ts decides. */
import type { Cursor, Epoch, Revision } from "@weft/proto/cursor.ts";
import { compareEpochs, isSameEpoch, revisionZero } from "@weft/proto/cursor.ts";

/** What outlives a stream. */
export interface Standing {
  /** What the store holds; undefined: nothing of any history. */
  readonly cursor: Cursor | undefined;
  /** Of what is held or was found live, whichever is later; older ones are refused. */
  readonly newestEpoch: Epoch | undefined;
  /** Live in the kernel and ahead of the store: nothing is activated before it is reached. Undefined: no such bound. */
  readonly floor: Cursor | undefined;
  /** Streams that failed in a row. */
  readonly attempt: number;
  /** When an acceptable control plane was last heard, or the agent started. */
  readonly acceptableAtMs: number;
}

/** What holds for one stream after `Welcome`. */
export interface Session {
  readonly epoch: Epoch;
  readonly heartbeatMs: number;
  readonly heardAtMs: number;
  /** `NodeView` came: deltas may. */
  readonly hasView: boolean;
}

/** A delta of which parts are missing. */
export interface Partial {
  readonly from: Revision | undefined;
  readonly to: Revision;
  readonly nextPart: number;
  readonly parts: number;
  readonly scope: DeltaScope;
  /** Of a repair. */
  readonly buckets: readonly number[];
  readonly isConfirmed: boolean;
}

export type SyncState =
  /** No stream; the next one is tried at `retryAtMs`. */
  | { readonly kind: "backing-off"; readonly standing: Standing; readonly retryAtMs: number }
  /** A transport is being opened. */
  | { readonly kind: "connecting"; readonly standing: Standing; readonly deadlineMs: number }
  /** `Hello` was sent; only `Welcome` may follow. */
  | { readonly kind: "greeting"; readonly standing: Standing; readonly deadlineMs: number }
  | {
      readonly kind: "following";
      readonly standing: Standing;
      readonly session: Session;
      readonly partial: Partial | undefined;
    }
  /** A mass removal waits for confirmation: deltas are discarded, what is live stays. */
  | {
      readonly kind: "holding";
      readonly standing: Standing;
      readonly session: Session;
      /** Only of a confirmed snapshot or repair. */
      readonly partial: Partial | undefined;
      readonly removal: Removal;
    };

/** How much a snapshot or repair would remove. */
export interface Removal {
  readonly services: number;
  readonly ofServices: number;
}

export type DeltaScope = "since" | "everything" | "buckets";

/** One part of a delta as its header says. */
export interface DeltaEvent {
  readonly kind: "delta";
  /** Undefined: snapshot or repair. */
  readonly from: Revision | undefined;
  readonly to: Revision;
  readonly part: number;
  /** At least 1. */
  readonly parts: number;
  readonly scope: DeltaScope;
  /** Of a repair, as they came. */
  readonly buckets: readonly number[];
  readonly isConfirmed: boolean;
  /** What a repair touches outside its buckets if this part completes it; only meaningful then. Undefined: nothing. */
  readonly stray: string | undefined;
  /** What it would remove if this part completes it; only meaningful then. */
  readonly removal: Removal;
  /** Not undefined: the part cannot be read. */
  readonly malformed: string | undefined;
}

export type SyncEvent =
  | { readonly kind: "tick" }
  /** The transport is ready for a stream. */
  | { readonly kind: "connected" }
  /** The stream or the transport ended, or never came to be. */
  | { readonly kind: "ended" }
  | {
      readonly kind: "welcome";
      readonly epoch: Epoch;
      readonly isMemoryLog: boolean;
      /** 0: not said. */
      readonly heartbeatMs: number;
      readonly protocol: number;
    }
  | { readonly kind: "node-view" }
  | DeltaEvent
  | { readonly kind: "synced"; readonly revision: Revision }
  | { readonly kind: "heartbeat"; readonly sequence: bigint }
  | { readonly kind: "digest-query" }
  | { readonly kind: "goaway"; readonly retryAfterMs: number; readonly message: string }
  /** A message that breaks the form of its kind. */
  | { readonly kind: "malformed"; readonly reason: string }
  /** Active revision, failures or addresses changed: the control plane should know. */
  | { readonly kind: "changed" };

export type EndCause =
  | "protocol-error"
  | "protocol-version"
  | "older-epoch"
  | "silent"
  | "connect-timeout"
  | "goaway"
  | "malformed";

export type SyncEffect =
  | { readonly kind: "connect" }
  | { readonly kind: "hello" }
  /** End the stream from this side. */
  | { readonly kind: "close"; readonly cause: EndCause; readonly message: string }
  /** Keep this part until the delta is complete. */
  | { readonly kind: "stage" }
  /** Forget the parts that were kept. */
  | { readonly kind: "discard" }
  /** Apply the parts that were kept to the store as one step, and plan a round. */
  | { readonly kind: "commit"; readonly cursor: Cursor; readonly scope: DeltaScope }
  /** The store's content is now known as this cursor; plan a round that says so. */
  | { readonly kind: "advance"; readonly cursor: Cursor }
  | { readonly kind: "view" }
  /** `heartbeat`: the sequence that it answers, 0n for none. */
  | { readonly kind: "ack"; readonly heartbeat: bigint }
  | { readonly kind: "digests" };

export interface SyncStep {
  readonly state: SyncState;
  readonly effects: readonly SyncEffect[];
}

export interface SyncLimits {
  /** Share of the services held above which a removal waits for confirmation, percent; 0: never waits. */
  readonly massRemovalPercent: number;
  /** Fewer services than this never wait. */
  readonly massRemovalServicesMin: number;
}

export const defaultSyncLimits: SyncLimits = { massRemovalPercent: 50, massRemovalServicesMin: 10 };

/** The first state of a program. `cursor`: of the state on disk; `live`: of the pinned kernel maps. */
export function initialState(cursor: Cursor | undefined, live: Cursor | undefined, nowMs: number): SyncState {
  const isAhead = live !== undefined && !covers(cursor, live);
  const newest = [cursor?.epoch, live?.epoch]
    .filter((epoch) => epoch !== undefined)
    .toSorted(compareEpochs)
    .at(-1);
  return {
    kind: "backing-off",
    retryAtMs: nowMs,
    standing: { cursor, newestEpoch: newest, floor: isAhead ? live : undefined, attempt: 0, acceptableAtMs: nowMs },
  };
}

/** True if `cursor` is of the epoch of `live` and not behind it: activating it does not move the node back. */
export function covers(cursor: Cursor | undefined, live: Cursor): boolean {
  return cursor !== undefined && isSameEpoch(cursor.epoch, live.epoch) && cursor.revision >= live.revision;
}

/** Where the agent stands in the history of this stream; 0: nothing of it. */
export function position(standing: Standing, session: Session): Revision {
  const { cursor } = standing;
  return cursor !== undefined && isSameEpoch(cursor.epoch, session.epoch) ? cursor.revision : revisionZero;
}

/** When `tick` is due. */
export function dueAtMs(state: SyncState): number {
  switch (state.kind) {
    case "backing-off":
      return state.retryAtMs;
    case "connecting":
    case "greeting":
      return state.deadlineMs;
    case "following":
    case "holding":
      return state.session.heardAtMs + silentIntervals * state.session.heartbeatMs;
  }
}

/** Heartbeat intervals without a word after which a stream is ended. */
export const silentIntervals = 3;
