/**
 * What an agent holds, compared with a cut of the catalog: first the sums of all buckets, then the hashes in those that differ, a
 * few buckets at a time, so that nobody holds or sends much at once. Pure values; `stream-query.ts` has the conversation.
 *
 * A snapshot takes the place of a repair as soon as it is fewer bytes: a hash costs 20 on its way here, a resource its bytes (75 on
 * average) on its way there. What the buckets not compared yet will give is taken to be what those before gave; before the first,
 * one resource each. With 250,000 resources all but a few thousand equal that is 5 MB of hashes instead of 19 MB; when nothing
 * is equal it is known after the first part, 4,096 hashes.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import { hashToBigint } from "@weft/proto/hash.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { bucketOf, digestBuckets } from "@weft/proto/digest.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import { removedEntryBytes, resourceEntryBytes } from "./delta-bytes.ts";
import type { DigestCut } from "./digest-cut.ts";

export interface ComparisonLimits {
  /** Hashes expected in answer to one query. */
  readonly hashesPerQuery: number;
  /** Hashes in answer to one query beyond which the agent's content has nothing to do with ours. */
  readonly hashesMax: number;
}

/** 4,096 hashes are a message of 80 KiB; 64 conversations at once hold 40 MB of decoded ones. */
export const comparisonLimits: ComparisonLimits = { hashesPerQuery: 4_096, hashesMax: 16_384 };

/** Bytes of one `ResourceHash` in a message: tag, length, and two tagged words. */
export const hashEntryBytes = 20;

export interface ReportedHash {
  readonly id: bigint;
  readonly hash: bigint;
}

/** What was found to differ from a cut. */
export interface Differences {
  /** Of the cut. */
  readonly revision: Revision;
  /** That the agent lacks, or holds with other bytes. */
  readonly puts: readonly CompiledResource[];
  /** That the agent holds and the cut does not. */
  readonly removed: readonly ResourceId[];
}

export interface Comparison extends Differences {
  readonly cut: DigestCut;
  /** Root digest of what the agent holds. */
  readonly digest: bigint;
  /** The agent's. */
  readonly sums: readonly bigint[];
  /** Buckets of which the sums differ, ascending. */
  readonly differing: readonly number[];
  /** So many of `differing` are compared. */
  readonly compared: number;
  /** Those from `compared` to here are asked for. */
  readonly asked: number;
  /** Hashes in the buckets asked for, as far as they came. */
  readonly reported: readonly ReportedHash[];
}

/** `sums`: of all buckets. */
export function compareSums(cut: DigestCut, sums: readonly bigint[]): Comparison {
  const differing: number[] = [];
  for (let bucket = 0; bucket < digestBuckets; bucket++) if (sums[bucket] !== cut.sum(bucket)) differing.push(bucket);
  const { revision } = cut;
  const digest = sums.reduce((sum, one) => BigInt.asUintN(64, sum + one), 0n);
  return { cut, revision, digest, sums, differing, compared: 0, asked: 0, reported: [], puts: [], removed: [] };
}

/** Asks for the next buckets; undefined: all are compared. */
export function askNext(
  of: Comparison,
  { hashesPerQuery }: ComparisonLimits,
): { readonly comparison: Comparison; readonly buckets: readonly number[] } | undefined {
  const { differing, compared, cut } = of;
  if (compared === differing.length) return undefined;
  let asked = compared;
  for (let hashes = 0; asked < differing.length; asked++) {
    // The agent's may be one that the cut lacks.
    hashes += cut.count(differing[asked] ?? 0) + 1;
    if (hashes > hashesPerQuery && asked > compared) break;
  }
  return { comparison: { ...of, asked }, buckets: differing.slice(compared, asked) };
}

/** What the agent reported of the buckets asked for is complete. A string: what is wrong with it. */
export function compareHashes(of: Comparison): Comparison | string {
  const { cut, differing, compared, asked, reported } = of;
  const buckets = differing.slice(compared, asked);
  const sums = new Map(buckets.map((bucket) => [bucket, 0n]));
  const held = new Map<bigint, bigint>();
  for (const { id, hash } of reported) {
    const bucket = bucketOf(id as ResourceId);
    const sum = sums.get(bucket);
    if (sum === undefined) return `a hash in bucket ${bucket}, which was not asked for`;
    if (id === 0n) return "a hash of id 0";
    if (held.has(id)) return `two hashes of id ${id.toString(16)}`;
    sums.set(bucket, BigInt.asUintN(64, sum + hash));
    held.set(id, hash);
  }
  for (const [bucket, sum] of sums) {
    if (sum !== of.sums[bucket]) return `the hashes in bucket ${bucket} do not add up to the sum told before`;
  }
  const puts = [...of.puts];
  for (const bucket of buckets) {
    for (const resource of cut.in(bucket)) {
      if (held.get(resource.id) !== hashToBigint(resource.hash)) puts.push(resource);
      held.delete(resource.id);
    }
  }
  // What is left is none of ours.
  const removed = [...of.removed, ...(held.keys() as Iterable<ResourceId>)];
  return { ...of, compared: asked, reported: [], puts, removed };
}

/** See above. */
export function isSnapshotSmaller(of: Comparison): boolean {
  const { cut, differing, compared, puts, removed } = of;
  let found = removed.length * removedEntryBytes;
  for (const resource of puts) found += resourceEntryBytes(resource);
  let ahead = 0;
  for (let i = compared; i < differing.length; i++) ahead += cut.count(differing[i] ?? 0);
  const perBucket = compared === 0 ? cut.bytes / Math.max(1, cut.resources) : found / compared;
  return found + perBucket * (differing.length - compared) + ahead * hashEntryBytes > cut.bytes;
}
