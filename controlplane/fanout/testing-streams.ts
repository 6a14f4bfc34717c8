/** For tests: streams at revision 3 of a small source, and what they may know of it. */
import assert from "node:assert/strict";
import { create, fromBinary } from "@bufbuild/protobuf";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { bucketOf, digestBuckets } from "@weft/proto/digest.ts";
import { NodeViewSchema, SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { noTriggers } from "@weft/proto/trigger-times.ts";
import { catalogLimits } from "../catalog/catalog-limits.ts";
import { Catalog } from "../catalog/catalog.ts";
import { changesOf, madeService } from "../catalog/made-resources.ts";
import { massRemovalLimits } from "../mass-removal/mass-removal.ts";
import { DigestCut } from "./digest-cut.ts";
import { repairOf } from "./repair.ts";
import { hashWordsOf } from "./reported-digests.ts";
import type { ReportedDigests } from "./reported-digests.ts";
import { streamLimits } from "./stream-limits.ts";
import type { Effect, Need, OpenStream, Progress, Step, StreamState, World } from "./stream-state.ts";
import { Transfer } from "./transfer.ts";

export const nowMs = 1_000_000;
export const [two, three] = [revision(2), revision(3)];
export const transferOf = (to: Revision): Transfer =>
  Transfer.snapshot(
    to,
    ["a", "b", "c", "d"].map((name) => madeService(name)),
    true,
    120,
  );

// What the head holds.
export const services = ["a", "b", "c", "d"].map((name) => madeService(name));
const catalog = new Catalog(epoch(5, 5), catalogLimits);
for (const service of services.slice(0, 3)) catalog.apply(catalog.draft(changesOf([service])) ?? assert.fail());
export const cut = DigestCut.of(catalog);

/** Revision 3 of a synced source. */
export const world: World = {
  epoch: epoch(5, 5),
  head: three,
  root: 7n,
  isSynced: true,
  historyKind: "memory",
  version: "0",
  limits: streamLimits,
  services: 4,
  massRemoval: massRemovalLimits,
  isRemovalConfirmed: false,
  delta: (from) =>
    Transfer.delta(
      { kind: "operations", from, to: three, puts: [madeService("a")], removed: [], triggers: noTriggers },
      1_000,
    ),
  snapshot: () => transferOf(three),
  digestCut: () => cut,
  knownDifferences: () => undefined,
  repair: (differences, _, mark) =>
    Transfer.repair(three, repairOf(differences, { puts: [], removed: [] }), mark, 1_000),
  nodeView: () => create(NodeViewSchema),
};

export function open(progress: Progress, more: Partial<OpenStream> = {}): OpenStream {
  return {
    phase: "open",
    node: "n1",
    progress,
    hasTurn: progress.kind === "transferring" || progress.kind === "querying",
    isAskable: true,
    mismatch: undefined,
    isOurs: progress.kind === "following",
    snapshotAfter: 0,
    isRemovalConfirmed: false,
    sent: three,
    reported: three,
    writing: undefined,
    welcomed: world.epoch,
    owesWelcome: undefined,
    owesView: false,
    owesSynced: undefined,
    owesHeartbeat: false,
    nextHeartbeatMs: nowMs + 1,
    heartbeat: { sequence: 4, atMs: nowMs - 5, compares: three },
    unansweredWelcome: progress.kind === "comparing" ? 4 : undefined,
    heardMs: nowMs - 1,
    ...more,
  };
}

export const need: Need = { doubt: undefined, isComparable: true, digest: undefined, isMismatch: false };

/** The sums of the head, but for the bucket of one service if it has an index. */
export function sumsBut(i: number): ReportedDigests {
  const sums = Array.from({ length: digestBuckets }, (_, bucket) => cut.sum(bucket));
  const service = services[i];
  if (service !== undefined) sums[bucketOf(service.id)] = 0n;
  return { revision: 3n, sums, hashes: hashWordsOf([]), last: true };
}

/** The progress or phase, then the effects. */
export function printStep({ state, effects }: Step): string {
  const what = effects.map(({ kind }) => kind).join(" ");
  return what === "" ? print(state) : `${print(state)}: ${what}`;
}

export function print(state: StreamState): string {
  if (state.phase !== "open") return state.phase;
  const { progress } = state;
  if (progress.kind === "following") return `following ${progress.cursor}`;
  if (progress.kind === "querying") return `querying ${progress.comparison === undefined ? "sums" : "hashes"}`;
  return progress.kind === "transferring" ? `transferring ${progress.next}` : progress.kind;
}

export function decode(effect: Effect | undefined): SyncResponse {
  assert.ok(effect?.kind === "write");
  return fromBinary(SyncResponseSchema, effect.bytes);
}
