/**
 * What an agent holds, compared with a cut of the catalog: first the sums of all buckets, then the hashes in those that differ, a
 * few buckets at a time, so that nobody holds or sends much at once. Pure values; `stream-query.ts` has the conversation.
 *
 * A snapshot takes the place of a repair as soon as it is fewer bytes: a hash costs 20 on its way here, a resource its bytes (75 on
 * average) on its way there. What the buckets not compared yet will give is taken to be what those before gave; before the first,
 * one resource each. With 250,000 resources all but a few thousand equal that is 5 MB of hashes instead of 19 MB; when nothing
 * is equal it is known after the first part, 1,024 hashes.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { digestBuckets } from "@weft/proto/digest.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import type { BucketIndex } from "./bucket-index.ts";
import { removedEntryBytes, resourceEntryBytes } from "./delta-bytes.ts";
import type { DigestCut } from "./digest-cut.ts";
import { wide, wordsPerHash } from "./reported-digests.ts";
import type { HashWords } from "./reported-digests.ts";

export interface ComparisonLimits {
  /** Hashes expected in answer to one query. */
  readonly hashesPerQuery: number;
  /** Hashes in answer to one query beyond which the agent's content has nothing to do with ours. */
  readonly hashesMax: number;
}

/**
 * 1,024 hashes are a message of 20 KiB, and 0.15 ms. One turn of the event loop may read an answer of each of 64 conversations: with four
 * times as many in each, its gaps were several times as long on a busy machine.
 */
export const comparisonLimits: ComparisonLimits = { hashesPerQuery: 1_024, hashesMax: 16_384 };

/** Bytes of one `ResourceHash` in a message: tag, length, and two tagged words. */
export const hashEntryBytes = 20;

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
  /** Hashes in the buckets asked for, as far as they came, by message. */
  readonly reported: readonly HashWords[];
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

/** Hashes that were reported to what is asked for now. */
export function reportedHashes({ reported }: Comparison): number {
  return reported.reduce((sum, words) => sum + words.length / wordsPerHash, 0);
}

/** What the agent reported of the buckets asked for is complete. A string: what is wrong with it. */
export function compareHashes(of: Comparison): Comparison | string {
  const { cut, differing, compared, asked, reported } = of;
  const buckets = new Map<number, BucketReport>();
  for (const bucket of differing.slice(compared, asked)) buckets.set(bucket, reportOf(cut, bucket));
  // None of ours.
  const foreign = new Set<bigint>();
  let bucket = noBucket;
  let report: BucketReport | undefined;
  for (const words of reported) {
    for (let i = 0; i < words.length; i += wordsPerHash) {
      const low = words[i] ?? 0;
      const high = words[i + 1] ?? 0;
      const hashLow = words[i + 2] ?? 0;
      const hashHigh = words[i + 3] ?? 0;
      if ((low & (digestBuckets - 1)) !== bucket) {
        bucket = low & (digestBuckets - 1);
        report = buckets.get(bucket);
      }
      if (report === undefined) return `a hash in bucket ${bucket}, which was not asked for`;
      if (low === 0 && high === 0) return "a hash of id 0";
      const { index, held } = report;
      const place = index.isAt(report.next, low, high) ? report.next : index.find(low, high);
      const isTwice = place === undefined ? foreign.has(wide(low, high)) : held[place] !== lacking;
      if (isTwice) return `two hashes of id ${wide(low, high).toString(16)}`;
      if (place === undefined) {
        foreign.add(wide(low, high));
      } else {
        held[place] = index.isHash(place, hashLow, hashHigh) ? same : other;
        report.next = place + 1;
      }
      add(report, hashLow, hashHigh);
    }
  }
  for (const [told, { sumLow, sumHigh }] of buckets) {
    if (wide(sumLow, sumHigh) !== of.sums[told]) {
      return `the hashes in bucket ${told} do not add up to the sum told before`;
    }
  }
  const puts = [...of.puts];
  for (const [told, { held }] of buckets) {
    const resources = cut.in(told);
    for (let place = 0; place < held.length; place++) {
      const resource = resources[place];
      if (held[place] !== same && resource !== undefined) puts.push(resource);
    }
  }
  const removed = [...of.removed, ...(foreign as Set<ResourceId>)];
  return { ...of, compared: asked, reported: [], puts, removed };
}

const noBucket = -1;
const lacking = 0;
const other = 1;
const same = 2;

interface BucketReport {
  readonly index: BucketIndex;
  /** How the agent holds each resource of the cut: `lacking`, `other` or `same`. */
  readonly held: Uint8Array;
  /** Agents mostly tell in the order in which we have them: the place behind the last one that was told. */
  next: number;
  /** Of the hashes reported: two words. */
  sumLow: number;
  sumHigh: number;
}

function reportOf(cut: DigestCut, bucket: number): BucketReport {
  return { index: cut.index(bucket), held: new Uint8Array(cut.count(bucket)), next: 0, sumLow: 0, sumHigh: 0 };
}

function add(report: BucketReport, low: number, high: number): void {
  const after = (report.sumLow + low) | 0;
  const carry = after >>> 0 < report.sumLow >>> 0 ? 1 : 0;
  report.sumLow = after;
  report.sumHigh = (report.sumHigh + high + carry) | 0;
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
