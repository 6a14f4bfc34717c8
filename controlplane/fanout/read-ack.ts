/**
 * Reads a `SyncRequest` that is an `Ack` without failures and addresses, as thousands come with every revision: 0.4 us instead of
 * 2.3 us with protobuf-es. Everything else is left to protobuf-es, malformed messages included; `read-ack.property.test.ts` holds
 * it against that. Field numbers: discovery.proto.
 */
import type { Ack, Counts, Durations } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { digestOf, plainAck } from "./plain-ack.ts";

const wireVarint = 0;
const wireFixed64 = 1;
const wireBytes = 2;
const tag = (field: number, wire: number): number => (field << 3) | wire;

const tagAck = tag(2, wireBytes);
const tagRevision = tag(1, wireVarint);
const tagAppliedAt = tag(2, wireVarint);
const tagDurations = tag(3, wireBytes);
const tagDigest = tag(6, wireFixed64);
const tagHeartbeat = tag(7, wireVarint);
const tagCounts = tag(9, wireBytes);

/** Longer ones have failures or addresses. All lengths below 128 are one byte. */
const bytesMax = 127;

// One message is read at a time, to its end.
let bytes: Uint8Array = new Uint8Array(0);
let at = 0;
let isGood = true;

/** Undefined: it is something else, or not well-formed. */
export function readPlainAck(message: Uint8Array): Ack | undefined {
  if (message.length > bytesMax || message.length < 2 || message[0] !== tagAck || message[1] !== message.length - 2)
    return undefined;
  bytes = message;
  at = 2;
  isGood = true;
  let revision = 0;
  let appliedAtUs = 0;
  let durations: Durations | undefined;
  let digest = 0n;
  let heartbeat = 0;
  let counts: Counts | undefined;
  let last = 0;
  while (at < message.length && isGood) {
    const field = message[at++] ?? 0;
    // Fields that come twice, or in another order, are merged by rules that are not worth repeating here.
    if (field <= last) return undefined;
    last = field;
    switch (field) {
      case tagRevision:
        revision = readVarint();
        break;
      case tagAppliedAt:
        appliedAtUs = readVarint();
        break;
      case tagDurations: {
        const numbers = readNumbers(4);
        durations = {
          $typeName: "weft.discovery.v1.Durations",
          receivedToActiveUs: numbers[0] ?? 0,
          planUs: numbers[1] ?? 0,
          stageUs: numbers[2] ?? 0,
          persistUs: numbers[3] ?? 0,
        };
        break;
      }
      case tagDigest:
        digest = readFixed64();
        break;
      case tagHeartbeat:
        heartbeat = readVarint();
        break;
      case tagCounts: {
        const numbers = readNumbers(2);
        counts = { $typeName: "weft.discovery.v1.Counts", services: numbers[0] ?? 0, backends: numbers[1] ?? 0 };
        break;
      }
      default:
        return undefined;
    }
  }
  return isGood ? plainAck(revision, appliedAtUs, digest, heartbeat, durations, counts) : undefined;
}

// Numbers beyond 2^53 are left to protobuf-es.
function readVarint(): number {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 8; i++) {
    const byte = bytes[at++];
    if (byte === undefined) break;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (value <= Number.MAX_SAFE_INTEGER) return value;
      break;
    }
    scale *= 128;
  }
  isGood = false;
  return 0;
}

function readFixed64(): bigint {
  if (at + 8 > bytes.length) {
    isGood = false;
    return 0n;
  }
  at += 8;
  return digestOf(readWord(at - 4), readWord(at - 8));
}

function readWord(from: number): number {
  const word = (bytes[from] ?? 0) | ((bytes[from + 1] ?? 0) << 8) | ((bytes[from + 2] ?? 0) << 16);
  return (word | ((bytes[from + 3] ?? 0) << 24)) >>> 0;
}

const numbers: number[] = [0, 0, 0, 0];

// A message of nothing but uint32 fields 1 to `fields`, in order. The array is used again by the next call.
function readNumbers(fields: number): readonly number[] {
  numbers.fill(0);
  const length = bytes[at++] ?? 0;
  const end = at + length;
  if (end > bytes.length) isGood = false;
  let last = 0;
  while (at < end && isGood) {
    const field = bytes[at++] ?? 0;
    const index = (field >> 3) - 1;
    const value = readVarint();
    if ((field & 7) !== wireVarint || field <= last || index < 0 || index >= fields || value > 0xffff_ffff) {
      isGood = false;
      break;
    }
    last = field;
    numbers[index] = value;
  }
  if (at !== end) isGood = false;
  return numbers;
}
