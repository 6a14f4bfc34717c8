/**
 * What an agent tells of what it holds: an answer to a digest query. Its hashes are words one behind the other, not objects: thousands come in
 * each answer, and a storm of repairs is millions of them.
 */
import type { Digests, SyncRequest } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";

export interface ReportedDigests {
  readonly revision: bigint;
  /** Of all buckets in order, or none. */
  readonly sums: readonly bigint[];
  readonly hashes: HashWords;
  readonly last: boolean;
}

/**
 * Four words for each: its id, then the hash of its bytes, each the low half first. Signed: numbers of 31 bits and more would be objects
 * of their own otherwise.
 */
export type HashWords = Int32Array;
export const wordsPerHash = 4;

/** What an agent says, read. Digests may be read as protobuf-es has them. */
export interface AgentRequest {
  readonly message: SyncRequest["message"] | { readonly case: "reported"; readonly value: ReportedDigests };
}

export function hashWordsOf(hashes: readonly { readonly id: bigint; readonly hash: bigint }[]): HashWords {
  const words = new Int32Array(hashes.length * wordsPerHash);
  const values = new BigUint64Array(words.buffer);
  for (const [i, { id, hash }] of hashes.entries()) {
    values[2 * i] = id;
    values[2 * i + 1] = hash;
  }
  return words;
}

export function reportedDigestsOf({ revision, buckets, resources, last }: Digests): ReportedDigests {
  return { revision, sums: buckets, hashes: hashWordsOf(resources), last };
}

/** However they were read. */
export function reportedDigests(
  message: Extract<AgentRequest["message"], { case: "digests" | "reported" }>,
): ReportedDigests {
  return message.case === "reported" ? message.value : reportedDigestsOf(message.value);
}

/** Two words as the number that they are. */
export function wide(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
