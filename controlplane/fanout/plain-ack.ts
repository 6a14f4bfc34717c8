/**
 * An `Ack` without failures and addresses, made from numbers. Thousands that come with one revision say the same: what they leave
 * behind is the same value too. A hot path: neither a bigint of a revision nor of a digest is made again for the next one.
 */
import type { Ack, Counts, Durations, Failure } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";

/** Numbers of at most 2^53. */
export function plainAck(
  revision: number,
  appliedAtUs: number,
  digest: bigint,
  heartbeat: number,
  durations: Durations | undefined,
  counts: Counts | undefined,
): Ack {
  const ack: Ack = {
    $typeName: "weft.discovery.v1.Ack",
    revision: bigintOf(revision),
    appliedAtUs: BigInt(appliedAtUs),
    failures: noFailures,
    failuresTotal: 0,
    digest,
    heartbeat: heartbeat === 0 ? 0n : BigInt(heartbeat),
  };
  if (durations !== undefined) ack.durations = durations;
  if (counts !== undefined) ack.counts = counts;
  return ack;
}

export function digestOf(high: number, low: number): bigint {
  if (low !== lastDigest.low || high !== lastDigest.high) {
    lastDigest = { low, high, value: (BigInt(high) << 32n) | BigInt(low) };
  }
  return lastDigest.value;
}

/** What `digestOf` makes it from. */
export function halvesOf(digest: bigint): { readonly low: number; readonly high: number } {
  if (digest !== lastDigest.value) {
    lastDigest = { low: Number(digest & 0xffff_ffffn), high: Number(digest >> 32n), value: digest };
  }
  return lastDigest;
}

// Nobody adds to the list.
const noFailures: Failure[] = [];
let lastRevision = { number: 0, value: 0n };
let lastDigest = { low: 0, high: 0, value: 0n };

function bigintOf(number: number): bigint {
  if (number !== lastRevision.number) lastRevision = { number, value: BigInt(number) };
  return lastRevision.value;
}
