/** What the head holds, as one agent was sent it, made ready to be told by thousands that hold nearly the same. */
import { fromBinary } from "@bufbuild/protobuf";
import { bucketOf, digestBuckets } from "@weft/proto/digest.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { hash64, hashToBigint } from "@weft/proto/hash.ts";
import { receivedId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";

export interface KnownResource {
  readonly id: ResourceId;
  readonly hash: bigint;
  /** Its place among the hashes of its bucket. */
  readonly place: number;
}

/** Bytes of an entry of `Digests.resources`: field 3, a message of two fixed64. */
export const hashEntryBytes = 20;

export class HeadState {
  readonly services: number;
  readonly resources: readonly KnownResource[];
  readonly #sums: readonly bigint[];
  readonly #hashes: readonly Buffer[];

  /** @param encoded Each resource once. */
  constructor(encoded: readonly Uint8Array[]) {
    const sums = Array.from({ length: digestBuckets }, () => 0n);
    const hashes: Buffer[][] = Array.from({ length: digestBuckets }, () => []);
    let services = 0;
    this.resources = encoded.map((bytes) => {
      const { id: received, kind } = fromBinary(ResourceSchema, bytes);
      if (kind.case === "service") services++;
      const id = receivedId(received);
      const hash = hashToBigint(hash64(bytes));
      const bucket = bucketOf(id);
      sums[bucket] = BigInt.asUintN(64, (sums[bucket] ?? 0n) + hash);
      return { id, hash, place: (hashes[bucket]?.push(hashEntry(id, hash)) ?? 0) - 1 };
    });
    this.services = services;
    this.#sums = sums;
    this.#hashes = hashes.map((entries) => Buffer.concat(entries));
  }

  sum(bucket: number): bigint {
    return this.#sums[bucket] ?? 0n;
  }

  /** Entries of `Digests.resources`, one behind the other. */
  hashes(bucket: number): Buffer {
    return this.#hashes[bucket] ?? Buffer.alloc(0);
  }
}

export function hashEntry(id: ResourceId, hash: bigint): Buffer {
  const entry = Buffer.from([0x1a, 18, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0, 0, 0, 0]);
  entry.writeBigUInt64LE(id, 3);
  entry.writeBigUInt64LE(hash, 12);
  return entry;
}
