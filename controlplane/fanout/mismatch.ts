/**
 * What is done about an agent whose digest is not ours at a revision at which both stand: a repair; if it is still so after that a
 * snapshot, at once; and if even that does not help (it reads or hashes wrongly) another one now and then. Pure.
 */
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { OpenStream, World } from "./stream-state.ts";

export const mismatchBackoffFirstMs = 60_000;
export const mismatchBackoffMaxMs = 3_600_000;

/** Of one stream, until its digest is ours again. */
export interface Mismatch {
  /** Repairs and snapshots because of it. */
  readonly answers: number;
  /** No other one before. */
  readonly nextMs: number;
}

export interface MismatchAnswer {
  /** "none": it is too early for another one. */
  readonly answer: "repair" | "snapshot" | "none";
  readonly mismatch: Mismatch;
}

export function answerMismatch(before: Mismatch | undefined, nowMs: number): MismatchAnswer {
  if (before === undefined) return { answer: "repair", mismatch: { answers: 1, nextMs: nowMs } };
  if (nowMs < before.nextMs) return { answer: "none", mismatch: before };
  const backoffMs = Math.min(mismatchBackoffMaxMs, mismatchBackoffFirstMs * 2 ** Math.min(before.answers - 1, 16));
  return { answer: "snapshot", mismatch: { answers: before.answers + 1, nextMs: nowMs + backoffMs } };
}

/**
 * Does this ack tell what the agent holds at the head, and is that so? Undefined: it does not tell. Only an answer to a heartbeat
 * that carried the digest of the head is believed: what was on its way when a repair was written says nothing.
 */
export function isEqualByAck(
  { progress, heartbeat, owesSynced }: OpenStream,
  ack: Ack,
  world: World,
): boolean | undefined {
  if (progress.kind !== "following" || progress.cursor !== world.head || owesSynced !== undefined) return undefined;
  if (heartbeat.compares !== world.head || ack.heartbeat !== BigInt(heartbeat.sequence)) return undefined;
  if (ack.revision !== BigInt(world.head)) return undefined;
  // It says nothing about what it holds.
  if (ack.digest === 0n && ack.counts === undefined) return undefined;
  return ack.digest === world.root;
}
