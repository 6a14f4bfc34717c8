/**
 * The conversation of digests, from a turn to a repair: the sums of all buckets, then the hashes in those that differ, in parts.
 * Nothing that the agent holds changes meanwhile: it is sent nothing else. The head may move on; see `repair.ts`.
 */
import { digestBuckets } from "@weft/proto/digest.ts";
import {
  askNext,
  compareHashes,
  compareSums,
  comparisonLimits,
  isSnapshotSmaller,
  reportedHashes,
} from "./comparison.ts";
import type { Comparison } from "./comparison.ts";
import type { DigestCut } from "./digest-cut.ts";
import { refuse } from "./refusal.ts";
import type { ReportedDigests } from "./reported-digests.ts";
import { end, leave, nothing } from "./stream-ends.ts";
import { beginRepair, beginSnapshot, queue } from "./stream-progress.ts";
import type { OpenStream, Progress, SnapshotReason, Step, StreamState, World } from "./stream-state.ts";

type Querying = Extract<Progress, { readonly kind: "querying" }>;

export function stepDigests(state: OpenStream, digests: ReportedDigests, world: World, nowMs: number): Step {
  const { progress } = state;
  if (!isAsked(progress)) {
    if (!state.isAskable) return { state, effects: nothing };
    const message = `node ${state.node} sent digests that nobody asked for`;
    return end(refuse("digests-unasked", "INVALID_ARGUMENT", message), state);
  }
  const fault = faultOf(progress, digests, world);
  if (fault !== undefined) return refused(state, fault);
  const { comparison } = progress;
  const known: Querying = { ...progress, revision: digests.revision };
  if (comparison === undefined) {
    const cut = world.digestCut(nowMs);
    if (cut !== undefined) return goOn(state, known, compareSums(cut, digests.sums), world, nowMs);
    return { state: { ...state, progress: { ...known, sums: digests.sums } }, effects: [{ kind: "await-cut" }] };
  }
  const more: Comparison = { ...comparison, reported: [...comparison.reported, digests.hashes] };
  if (reportedHashes(more) > comparisonLimits.hashesMax) return giveUp(state, "foreign", world, nowMs);
  if (!digests.last) return { state: { ...state, progress: { ...known, comparison: more } }, effects: nothing };
  const compared = compareHashes(more);
  return typeof compared === "string" ? refused(state, compared) : goOn(state, known, compared, world, nowMs);
}

/** The cut is there that its sums waited for. */
export function stepCut(state: OpenStream, cut: DigestCut, world: World, nowMs: number): Step {
  const { progress } = state;
  if (progress.kind !== "querying" || progress.sums === undefined) return { state, effects: nothing };
  return goOn(state, { ...progress, sums: undefined }, compareSums(cut, progress.sums), world, nowMs);
}

/**
 * The agent is there but did not answer its last question in time: an older one may not know it. How many there are does not matter: each answer
 * brings the comparison on.
 */
export function isUnanswered({ progress }: OpenStream, world: World, nowMs: number): boolean {
  return isAsked(progress) && nowMs - progress.askedMs > world.limits.digestsMs;
}

/**
 * Since when it has not read what was written, or not answered what it was asked; half an answer is none. Undefined: neither is so.
 */
export function stuckSinceMs(state: StreamState): number | undefined {
  if (state.phase !== "open") return undefined;
  const { writing, progress } = state;
  if (writing !== undefined) return writing.sinceMs;
  return isAsked(progress) ? progress.askedMs : undefined;
}

/** It is stuck, and others need its turn. One that only does not answer waits for another, for a snapshot. */
export function displace(state: OpenStream): Step {
  if (state.writing === undefined && isAsked(state.progress)) {
    const queued = queue({ ...state, hasTurn: false, isAskable: false }, state.progress.need);
    return { state: queued.state, effects: [{ kind: "release-snapshot" }, ...queued.effects] };
  }
  const message = `node ${state.node} reads its state too slowly, and others need theirs`;
  return leave(state, { reason: "stalled", message, retryAfterMs: 0 });
}

/** A snapshot takes the place of the repair, and what the agent still answers is passed over. */
export function giveUp(state: OpenStream, instead: SnapshotReason, world: World, nowMs: number): Step {
  if (state.progress.kind !== "querying") return { state, effects: nothing };
  const { need, owes } = state.progress;
  // Until it was asked there is no answer to pass over.
  const isAskable = state.isAskable && owes !== undefined;
  return beginSnapshot({ ...state, isAskable }, need, instead, world, nowMs);
}

// An answer is due.
function isAsked(progress: Progress): progress is Querying {
  return progress.kind === "querying" && progress.owes === undefined && progress.sums === undefined;
}

// The form of one message, not what it says of resources.
function faultOf({ comparison, revision }: Querying, digests: ReportedDigests, world: World): string | undefined {
  if (digests.revision > BigInt(world.head)) return `of revision ${digests.revision}, the head is ${world.head}`;
  if (revision !== undefined && digests.revision !== revision) {
    return `of revision ${digests.revision} after those of ${revision}`;
  }
  if (comparison !== undefined) {
    return digests.sums.length === 0 ? undefined : "sums of buckets where hashes were asked for";
  }
  if (digests.hashes.length > 0) return "hashes where sums of buckets were asked for";
  if (digests.sums.length !== digestBuckets) return `${digests.sums.length} sums of ${digestBuckets} buckets`;
  return digests.last ? undefined : "sums of buckets without an end";
}

function refused(state: OpenStream, fault: string): Step {
  const message = `node ${state.node} sent digests that cannot be: ${fault}; update the agent`;
  return end(refuse("bad-digests", "INVALID_ARGUMENT", message), state);
}

function goOn(state: OpenStream, progress: Querying, comparison: Comparison, world: World, nowMs: number): Step {
  const { need } = progress;
  const known = need.isMismatch ? undefined : world.knownDifferences(comparison.digest);
  if (known !== undefined) return beginRepair(state, need, known, comparison.digest, world, nowMs);
  if (isSnapshotSmaller(comparison)) return beginSnapshot(state, need, "smaller", world, nowMs);
  const next = askNext(comparison, comparisonLimits);
  if (next === undefined) {
    const { revision, digest, puts, removed } = comparison;
    return beginRepair(state, need, { revision, puts, removed }, digest, world, nowMs);
  }
  const owes = { allBuckets: false, buckets: next.buckets };
  return { state: { ...state, progress: { ...progress, owes, comparison: next.comparison } }, effects: nothing };
}
