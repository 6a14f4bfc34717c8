/**
 * One agent's stream, as a pure state machine: states, events, and what follows from them. The transitions are in
 * `stream-step.ts`. A stream holds a cursor and never a queue: what to send is worked out when it can be written.
 *
 * Invariants:
 * 1. At most one write is outstanding; `writing` is set from the write until its callback.
 * 2. Nothing is written before Welcome; no NodeView, Delta or Synced before the source is synced; no Delta before NodeView.
 * 3. The parts of a transfer are written in order, with nothing but heartbeats between them.
 * 4. `sent` never goes back within an epoch, and no ack above it is believed.
 * 5. A stream whose answer would be a mass removal that nobody confirmed gets nothing but Welcome and heartbeats.
 * 6. While an agent is asked for digests nothing is written that changes what it holds, and no second Welcome.
 * 7. What is asked for is answered once: a stream that did not answer in time is not asked again.
 */
import type { Cursor, Epoch, Revision } from "@weft/proto/cursor.ts";
import type { Ack, NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { HistoryKind } from "../log/commit-log.ts";
import type { MassRemovalLimits } from "../mass-removal/mass-removal.ts";
import type { Comparison, Differences } from "./comparison.ts";
import type { DigestCut } from "./digest-cut.ts";
import type { Doubt } from "./doubt.ts";
import type { Introduction } from "./hello.ts";
import type { Refusal } from "./refusal.ts";
import type { Mismatch, MismatchAnswer } from "./mismatch.ts";
import type { GoawayWord, Query } from "./responses.ts";
import type { ReportedDigests } from "./reported-digests.ts";
import type { StreamLimits } from "./stream-limits.ts";
import type { Transfer } from "./transfer.ts";

/** What a stream may know of the rest; everything is as of now. */
export interface World {
  readonly epoch: Epoch;
  readonly head: Revision;
  /** Root digest of the head. */
  readonly root: bigint;
  readonly isSynced: boolean;
  readonly historyKind: HistoryKind;
  readonly version: string;
  readonly limits: StreamLimits;
  /** Services at the head. */
  readonly services: number;
  readonly massRemoval: MassRemovalLimits;
  /** What the source does not list is meant to be gone: a person said so, or it has been synced for long enough. */
  readonly isRemovalConfirmed: boolean;
  /** Undefined: compacted. */
  delta(from: Revision): Transfer | undefined;
  /** Of the head, or of a revision shortly before if `isGood` says so. */
  snapshot(nowMs: number, isMassRemovalConfirmed: boolean, isGood: (cut: Transfer) => boolean): Transfer;
  /** Of the head, or of a revision shortly before. Undefined: it is being made, and can be awaited. */
  digestCut(nowMs: number): DigestCut | undefined;
  /** What whoever holds what has this digest is known to differ in. */
  knownDifferences(digest: bigint): Differences | undefined;
  /** To the head. `digest`: of what it holds. Undefined: the history does not reach back to the cut. */
  repair(differences: Differences, digest: bigint, isMassRemovalConfirmed: boolean): Transfer | undefined;
  nodeView(node: string): NodeView;
}

/** What a stream wants a turn for: a repair, or a snapshot. */
export interface Need {
  /** What it holds may not be taken away; undefined: it is of this history. */
  readonly doubt: Doubt | undefined;
  /** It holds something, and comparing digests may tell what it lacks. */
  readonly isComparable: boolean;
  /** Root digest of what it holds; undefined: it was not told. */
  readonly digest: bigint | undefined;
  /** Its digest is not ours where it should be. */
  readonly isMismatch: boolean;
}

/** How far the agent is. */
export type Progress =
  /** The source is not synced; the agent may hold this. */
  | {
      readonly kind: "waiting";
      readonly cursor: Cursor | undefined;
      readonly digest: bigint;
      /** Services that it holds. */
      readonly services: number;
    }
  /** What it would be sent is a mass removal that waits to be confirmed, or to be none any more. */
  | { readonly kind: "held"; readonly doubt: Doubt }
  /** A second Welcome went out; the agent will answer with its digest. */
  | { readonly kind: "comparing"; readonly sinceMs: number }
  /** It needs a snapshot or a repair, and waits for its turn. */
  | { readonly kind: "queued"; readonly need: Need }
  /** It is asked what it holds. */
  | {
      readonly kind: "querying";
      readonly need: Need;
      /** Not written yet. */
      readonly owes: Query | undefined;
      /** When the question was written. */
      readonly askedMs: number;
      /** That it told. They wait for the cut that they are compared with. */
      readonly sums: readonly bigint[] | undefined;
      /** Undefined: the sums were asked for. */
      readonly comparison: Comparison | undefined;
      /** The revision that its first answer named. */
      readonly revision: bigint | undefined;
    }
  /** `next`: the next part to write. */
  | { readonly kind: "transferring"; readonly transfer: Transfer; readonly next: number }
  /** Everything up to here was written. */
  | { readonly kind: "following"; readonly cursor: Revision };

export interface OpenStream {
  readonly phase: "open";
  readonly node: string;
  readonly progress: Progress;
  /** It was granted a turn for a snapshot or a repair, which lasts until the last part is on its way. */
  readonly hasTurn: boolean;
  /** What it holds is of this history, so what it lacks was removed here and is believed. */
  readonly isOurs: boolean;
  /** The last heartbeat before the last snapshot was all written: who answers a later one has taken that snapshot, or says that it did not. */
  readonly snapshotAfter: number;
  /** False: it was asked for digests and gave none that were of use. What it still says of them is passed over. */
  readonly isAskable: boolean;
  /** Undefined: its digest was ours whenever it could be compared. */
  readonly mismatch: Mismatch | undefined;
  /** The last snapshot or repair carried the mark: an ack that still speaks of a held removal was on its way then. */
  readonly isRemovalConfirmed: boolean;
  /** The highest revision that an ack may name: what was written here, or on an earlier stream of this agent. */
  readonly sent: Revision;
  /** The newest revision that was handed to the socket and reported. */
  readonly reported: Revision;
  readonly writing: { readonly sinceMs: number } | undefined;
  /** The epoch of the last Welcome that was written. */
  readonly welcomed: Epoch | undefined;
  readonly owesWelcome: "first" | "again" | undefined;
  readonly owesView: boolean;
  /** "at-head": once the cursor is the head. "at-cursor": before anything else, since that gives the agent its cursor. */
  readonly owesSynced: "at-head" | "at-cursor" | undefined;
  readonly owesHeartbeat: boolean;
  readonly nextHeartbeatMs: number;
  /** Sequence of the last heartbeat written, when, and the revision whose digest it carried. */
  readonly heartbeat: { readonly sequence: number; readonly atMs: number; readonly compares: Revision | undefined };
  /** The heartbeat that went out with a second Welcome: until it is answered, acks are of the epoch before. */
  readonly unansweredWelcome: number | undefined;
  readonly heardMs: number;
}

export type StreamState =
  /** Nothing was heard yet. */
  { readonly phase: "greeting"; readonly sinceMs: number } | OpenStream | { readonly phase: "ended" };

export type StreamEvent =
  /** A Hello that was admitted. `sentBefore`: the highest revision ever written to this agent in this epoch. */
  | { readonly kind: "hello"; readonly introduction: Introduction; readonly sentBefore: Revision }
  | { readonly kind: "ack"; readonly ack: Ack }
  | { readonly kind: "digests"; readonly digests: ReportedDigests }
  /** A message of which no field is known. */
  | { readonly kind: "unknown" }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  /** The outstanding write is on its way. */
  | { readonly kind: "written" }
  /** The head moved, or the source became synced. */
  | { readonly kind: "published" }
  /** Mass removals are confirmed. */
  | { readonly kind: "confirmed" }
  /** It is this stream's turn for a snapshot or a repair. */
  | { readonly kind: "granted" }
  /** It is stuck with its turn for longer than any other, and too many are. */
  | { readonly kind: "displaced" }
  /** What it awaited. */
  | { readonly kind: "cut-made"; readonly cut: DigestCut }
  | { readonly kind: "renamed" }
  | { readonly kind: "view-changed" }
  /** `isLate`: this program itself did not run for a while, so silence proves nothing. */
  | { readonly kind: "tick"; readonly isLate: boolean }
  | { readonly kind: "leave"; readonly reason: GoawayWord; readonly message: string; readonly retryAfterMs: number }
  | { readonly kind: "closed" };

/** What people and metrics are told. */
export type Note =
  /** Its digest is not ours at `revision`; what is done about it. */
  | { readonly kind: "mismatch"; readonly revision: Revision; readonly answer: MismatchAnswer["answer"] }
  /** Its digest is ours again. */
  | { readonly kind: "mended"; readonly revision: Revision }
  /** `instead`: why it is not a repair; undefined: it holds nothing to compare, or takes nothing else. */
  | { readonly kind: "snapshot"; readonly instead: SnapshotReason | undefined }
  /** `differences`: what it held that is not ours, as far as that is not newer than the comparison. */
  | {
      readonly kind: "repair";
      readonly transfer: Transfer;
      readonly differences: Differences;
      readonly isMismatch: boolean;
    };

export type SnapshotReason =
  /** Fewer bytes. */
  | "smaller"
  /** The agent was asked for digests and gave none in time. */
  | "unanswered"
  /** It gave more hashes than can be of our content. */
  | "foreign"
  /** The history was compacted while it was asked. */
  | "compacted"
  /** A repair did not help. */
  | "persists";

export type Effect =
  | { readonly kind: "note"; readonly note: Note }
  | { readonly kind: "write"; readonly bytes: Uint8Array }
  | { readonly kind: "request-snapshot" }
  /** The turn is over, or no longer wanted. */
  | { readonly kind: "release-snapshot" }
  /** It wants the digest cut that is being made. */
  | { readonly kind: "await-cut" }
  /** `isStuck`: nothing can be written any more; the stream is reset. */
  | { readonly kind: "end"; readonly refusal: Refusal; readonly isStuck: boolean }
  | { readonly kind: "sent"; readonly revision: Revision }
  | { readonly kind: "acked"; readonly ack: Ack; readonly roundTripMs: number | undefined };

export interface Step {
  readonly state: StreamState;
  readonly effects: readonly Effect[];
}

export function greetingStream(nowMs: number): StreamState {
  return { phase: "greeting", sinceMs: nowMs };
}
