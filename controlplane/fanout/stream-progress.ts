/** Where an agent goes on: at its cursor, at the head, by a repair or a snapshot, or not before somebody confirmed it. */
import { isSameEpoch } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { answerTo } from "./doubt.ts";
import type { Differences } from "./comparison.ts";
import type { Doubt } from "./doubt.ts";
import { answerMismatch } from "./mismatch.ts";
import { nothing, releaseOf } from "./stream-ends.ts";
import type { Transfer } from "./transfer.ts";
import type { Effect, Need, Note, OpenStream, SnapshotReason, Step, World } from "./stream-state.ts";

/** The source is synced. */
export function start(state: OpenStream, world: World, nowMs: number): Step {
  if (state.progress.kind !== "waiting") return { state, effects: nothing };
  const { cursor, digest, services } = state.progress;
  if (cursor !== undefined && isSameEpoch(cursor.epoch, world.epoch) && world.delta(cursor.revision) !== undefined) {
    const following: OpenStream = { ...state, progress: { kind: "following", cursor: cursor.revision } };
    // 0: it does not say. Its first ack of a heartbeat will.
    if (cursor.revision === world.head && digest !== world.root && digest !== 0n)
      return differs(following, world, nowMs);
    return { state: following, effects: nothing };
  }
  // The sums of nothing are 0.
  const isComparable = digest !== 0n;
  if (state.isOurs) {
    if (digest === world.root) return follow(state, world.head);
    return queue(state, { doubt: undefined, isComparable, digest, isMismatch: false });
  }
  const doubt: Doubt = { by: "control-plane", digest, services };
  return reconsider({ ...state, progress: { kind: "held", doubt } }, world);
}

/** It holds what `revision` holds, and does not know that yet. */
export function follow(state: OpenStream, revision: Revision): Step {
  const sent = revision > state.sent ? revision : state.sent;
  const progress = { kind: "following", cursor: revision } as const;
  return { state: { ...state, progress, owesSynced: "at-cursor", sent, isOurs: true }, effects: nothing };
}

export function queue(state: OpenStream, need: Need): Step {
  return { state: { ...state, progress: { kind: "queued", need } }, effects: [{ kind: "request-snapshot" }] };
}

/** It stands at the head and holds something else. */
export function differs(state: OpenStream, world: World, nowMs: number): Step {
  const { answer, mismatch } = answerMismatch(state.mismatch, nowMs);
  const note: Effect = { kind: "note", note: { kind: "mismatch", revision: world.head, answer } };
  // One answer to a heartbeat is evidence once.
  const known: OpenStream = { ...state, mismatch, heartbeat: { ...state.heartbeat, compares: undefined } };
  if (answer === "none") return { state: known, effects: [note] };
  const queued = queue(known, {
    doubt: undefined,
    isComparable: answer === "repair",
    digest: undefined,
    isMismatch: true,
  });
  return { state: queued.state, effects: [note, ...queued.effects] };
}

/** It did not activate what it was sent: from here on only a confirmed snapshot counts, and Synced again behind that. */
export function hold(state: OpenStream, ack: Ack, world: World): Step {
  const doubt: Doubt = { by: "agent", digest: ack.digest, services: ack.counts?.services ?? 0 };
  const held: OpenStream = {
    ...state,
    progress: { kind: "held", doubt },
    hasTurn: false,
    isOurs: false,
    // What it still answers was asked before.
    isAskable: state.isAskable && state.progress.kind !== "querying",
    owesSynced: "at-head",
  };
  const next = reconsider(held, world);
  return { state: next.state, effects: [...releaseOf(state), ...next.effects] };
}

/** Is it still doubted? */
export function reconsider(state: OpenStream, world: World): Step {
  if (state.progress.kind !== "held") return { state, effects: nothing };
  const { doubt } = state.progress;
  switch (answerTo(doubt, world).kind) {
    case "hold":
      return { state, effects: nothing };
    case "synced":
      return follow(state, world.head);
    case "snapshot":
      // One that refused takes nothing but what removes nothing, or what is confirmed: it is not asked.
      return queue(state, {
        doubt,
        isComparable: doubt.by === "control-plane" && doubt.digest !== 0n,
        digest: doubt.digest,
        isMismatch: false,
      });
  }
}

/** Its turn has come. What was no longer doubted when it asked may be again. */
export function beginTurn(state: OpenStream, world: World, nowMs: number): Step {
  if (state.progress.kind !== "queued") return { state, effects: nothing };
  const { need } = state.progress;
  const known = need.isComparable && need.digest !== undefined ? world.knownDifferences(need.digest) : undefined;
  if (known !== undefined && need.digest !== undefined) {
    return beginRepair({ ...state, hasTurn: true }, need, known, need.digest, world, nowMs);
  }
  if (answerTo(need.doubt, world).kind === "snapshot" && need.isComparable && state.isAskable) {
    const owes = { allBuckets: true, buckets: [] };
    const progress = {
      kind: "querying",
      need,
      owes,
      askedMs: nowMs,
      sums: undefined,
      comparison: undefined,
      revision: undefined,
    } as const;
    return { state: { ...state, hasTurn: true, progress }, effects: nothing };
  }
  const isPersisting = need.isMismatch && !need.isComparable;
  const instead = isPersisting ? "persists" : need.isComparable ? "unanswered" : undefined;
  return beginSnapshot({ ...state, hasTurn: true }, need, instead, world, nowMs);
}

/** The stream has a turn. `digest`: of what it holds. */
export function beginRepair(
  state: OpenStream,
  need: Need,
  differences: Differences,
  digest: bigint,
  world: World,
  nowMs: number,
): Step {
  const answer = answerTo(need.doubt, world);
  if (answer.kind !== "snapshot") return giveBack(state, need, world);
  const { isMassRemovalConfirmed } = answer;
  const transfer = world.repair(differences, digest, isMassRemovalConfirmed);
  if (transfer === undefined) return beginSnapshot(state, need, "compacted", world, nowMs);
  if (transfer.buckets?.length === 0) {
    const equal = follow({ ...state, hasTurn: false }, world.head);
    return { state: equal.state, effects: [{ kind: "release-snapshot" }, ...equal.effects] };
  }
  const { revision, puts, removed } = differences;
  const note: Note = {
    kind: "repair",
    transfer,
    differences: { revision, puts, removed },
    isMismatch: need.isMismatch,
  };
  return transferring(state, transfer, isMassRemovalConfirmed, note);
}

/** The stream has a turn. */
export function beginSnapshot(
  state: OpenStream,
  need: Need,
  instead: SnapshotReason | undefined,
  world: World,
  nowMs: number,
): Step {
  const answer = answerTo(need.doubt, world);
  if (answer.kind !== "snapshot") return giveBack(state, need, world);
  const { isMassRemovalConfirmed, isGood } = answer;
  // Nor back behind what it holds.
  const transfer = world.snapshot(nowMs, isMassRemovalConfirmed, (cut) => isGood(cut) && cut.to >= state.sent);
  return transferring(state, transfer, isMassRemovalConfirmed, { kind: "snapshot", instead });
}

function transferring(state: OpenStream, transfer: Transfer, isRemovalConfirmed: boolean, note: Note): Step {
  return {
    state: { ...state, isRemovalConfirmed, progress: { kind: "transferring", transfer, next: 0 } },
    effects: [{ kind: "note", note }],
  };
}

/** It is doubted again, or holds what the head holds: the turn is not used. */
export function giveBack(state: OpenStream, { doubt }: Need, world: World): Step {
  const without: OpenStream = { ...state, hasTurn: false };
  const held = doubt === undefined ? without : ({ ...without, progress: { kind: "held", doubt } } as const);
  const next = reconsider(held, world);
  return { state: next.state, effects: [{ kind: "release-snapshot" }, ...next.effects] };
}
