/** What a stream writes next: the most urgent thing that its state and the head call for, if it can be written at all. */
import { revisionZero } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { encodeSmallResponse } from "./responses.ts";
import type { Effect, OpenStream, Progress, Step, World } from "./stream-state.ts";

export function pump(before: Step, world: World, nowMs: number): Step {
  const state = before.state;
  if (state.phase !== "open" || state.writing !== undefined) return before;
  const writing = { sinceMs: nowMs };
  const small = smallResponse(state, world, nowMs);
  if (small !== undefined) {
    return { state: { ...small.state, writing }, effects: [...before.effects, { kind: "write", bytes: small.bytes }] };
  }
  const progress = state.progress;
  if (progress.kind === "transferring") return writePart(before, state, progress, writing);
  if (progress.kind !== "following" || progress.cursor >= world.head || !world.isSynced) return before;
  const transfer = world.delta(progress.cursor);
  if (transfer === undefined) {
    // It may have refused the unconfirmed snapshot that it was sent: an ack after it tells.
    if (!state.isOurs) return before;
    const need = { doubt: undefined, isComparable: true, digest: undefined, isMismatch: false };
    return {
      state: { ...state, progress: { kind: "queued", need } },
      effects: [...before.effects, { kind: "request-snapshot" }],
    };
  }
  return writePart(before, state, { kind: "transferring", transfer, next: 0 }, writing);
}

function writePart(
  before: Step,
  state: OpenStream,
  progress: Extract<Progress, { kind: "transferring" }>,
  writing: { readonly sinceMs: number },
): Step {
  const { transfer, next } = progress;
  const write: Effect = { kind: "write", bytes: transfer.part(next) };
  if (next + 1 < transfer.parts) {
    return {
      state: { ...state, writing, progress: { kind: "transferring", transfer, next: next + 1 } },
      effects: [...before.effects, write],
    };
  }
  const sent = transfer.to > state.sent ? transfer.to : state.sent;
  // One without the mark may be refused: its ack tells.
  const isBelieved = transfer.from === undefined && state.isRemovalConfirmed;
  return {
    state: {
      ...state,
      writing,
      sent,
      isOurs: state.isOurs || isBelieved,
      snapshotAfter: transfer.from === undefined ? state.heartbeat.sequence : state.snapshotAfter,
      // Whether a repair helped is asked at once.
      owesHeartbeat: state.owesHeartbeat || transfer.buckets !== undefined,
      progress: { kind: "following", cursor: transfer.to },
    },
    effects: [...before.effects, write],
  };
}

// Everything small that is owed and may be said now, in one response. Undefined: nothing.
function smallResponse(
  state: OpenStream,
  world: World,
  nowMs: number,
): { readonly state: OpenStream; readonly bytes: Uint8Array } | undefined {
  const { progress } = state;
  const isMidTransfer = progress.kind === "transferring" && progress.next > 0;
  const isQuerying = progress.kind === "querying";
  const query = isQuerying ? progress.owes : undefined;
  const isWelcomeNow = state.owesWelcome !== undefined && !isMidTransfer && !isQuerying;
  const isAgain = isWelcomeNow && state.owesWelcome === "again";
  const isViewNow = state.owesView && world.isSynced && !isMidTransfer && progress.kind !== "held";
  const synced = isAgain ? undefined : syncedNow(state, world);
  // The second Welcome comes with a heartbeat: its answer tells the acks after it from those before.
  const isHeartbeatNow = state.owesHeartbeat || isAgain;
  const isSilent = !isWelcomeNow && !isViewNow && synced === undefined && !isHeartbeatNow && query === undefined;
  if (isSilent) return undefined;
  const isAtHead = progress.kind === "following" && progress.cursor === world.head;
  // A digest is compared at one revision, and before Synced or a delta the agent has none of this epoch.
  const isComparable = isAtHead && state.owesWelcome === undefined && state.owesSynced !== "at-cursor";
  const sequence = state.heartbeat.sequence + 1;
  const digest = isComparable ? world.root : undefined;
  const bytes = encodeSmallResponse({
    welcome: isWelcomeNow ? world : undefined,
    nodeView: isViewNow ? world.nodeView(state.node) : undefined,
    synced,
    heartbeat: isHeartbeatNow ? { sequence, revision: world.head, digest, isSynced: world.isSynced } : undefined,
    digestQuery: query,
  });
  const isComparing = isAgain && progress.kind === "following";
  return {
    bytes,
    state: {
      ...state,
      ...(query !== undefined && isQuerying && { progress: { ...progress, owes: undefined, askedMs: nowMs } }),
      ...(isComparing && { progress: { kind: "comparing", sinceMs: nowMs } as const }),
      ...(isAgain && { sent: revisionZero, reported: revisionZero, unansweredWelcome: sequence }),
      welcomed: isWelcomeNow ? world.epoch : state.welcomed,
      owesWelcome: isWelcomeNow ? undefined : state.owesWelcome,
      owesView: state.owesView && !isViewNow,
      owesSynced: isAgain ? "at-head" : synced === undefined ? state.owesSynced : undefined,
      owesHeartbeat: false,
      heartbeat: isHeartbeatNow
        ? { sequence, atMs: nowMs, compares: isComparable ? world.head : undefined }
        : state.heartbeat,
    },
  };
}

// The revision to name in Synced, if it is owed and the agent has reached it.
function syncedNow(state: OpenStream, world: World): Revision | undefined {
  const { progress, owesSynced } = state;
  if (progress.kind !== "following" || owesSynced === undefined || !world.isSynced) return undefined;
  return owesSynced === "at-cursor" || progress.cursor === world.head ? progress.cursor : undefined;
}
