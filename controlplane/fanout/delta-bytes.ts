/**
 * Encodes a `SyncResponse` that carries a `Delta`, from the cached bytes of its resources. Written by hand because
 * protobuf-es would copy every resource once per message object and again per encoding; here each is copied once per delta,
 * whatever the number of streams. `delta-bytes.test.ts` holds it against protobuf-es. Field numbers: discovery.proto.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { parseHex, wireNodesPerMillion } from "@weft/proto/telemetry/trace-context.ts";
import type { TraceContext } from "@weft/proto/telemetry/trace-context.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import { varintBytes, writeVarint } from "@weft/proto/varint.ts";
import type { EncodedResource } from "../catalog/resource.ts";

/** One message of a delta. */
export interface DeltaPart {
  /** Undefined: a snapshot or a repair. */
  readonly from: Revision | undefined;
  /** Of a repair, ascending. */
  readonly buckets: readonly number[] | undefined;
  readonly to: Revision;
  readonly part: number;
  readonly parts: number;
  readonly isMassRemovalConfirmed: boolean;
  /** Undefined: not sampled. */
  readonly trace: TraceContext | undefined;
  readonly removed: readonly ResourceId[];
  readonly resources: readonly EncodedResource[];
  readonly triggers: TriggerTimes;
}

/** An upper bound of the bytes around `buckets`, `removed`, `resources` and `triggers` in one message: a trace context needs 36. */
export const deltaHeaderBytesMax = 128;

/** Bytes that one resource adds to a message: tag, length, itself. */
export function resourceEntryBytes({ bytesLength }: EncodedResource): number {
  return 1 + varintBytes(bytesLength) + bytesLength;
}

/** Bytes that one removed id adds to a message. */
export const removedEntryBytes = 8;

/** Bytes that what triggered a delta adds to a message. */
export function triggersBytes({ ipv4, ipv6 }: TriggerTimes): number {
  return packedEntryBytes(ipv4) + packedEntryBytes(ipv6);
}

/** Bytes that the buckets of a repair add to each of its messages. */
export function bucketsBytes(buckets: readonly number[]): number {
  return packedEntryBytes(buckets);
}

const wireVarint = 0;
const wireBytes = 2;
const tag = (field: number, wire: number): number => (field << 3) | wire;

const tagDelta = tag(3, wireBytes);
const tagFrom = tag(1, wireVarint);
const tagTo = tag(2, wireVarint);
const tagPart = tag(3, wireVarint);
const tagParts = tag(4, wireVarint);
const tagScope = tag(5, wireBytes);
const tagScopeEverything = tag(1, wireVarint);
const tagScopeBuckets = tag(2, wireBytes);
const tagMassRemovalConfirmed = tag(6, wireVarint);
const tagTrace = tag(7, wireBytes);
const tagTraceId = tag(1, wireBytes);
const tagSpanId = tag(2, wireBytes);
const tagNodesPerMillion = tag(3, wireVarint);
const tagRemoved = tag(8, wireBytes);
const tagResources = tag(9, wireBytes);
const tagIpv4TriggerTimes = tag(10, wireBytes);
const tagIpv6TriggerTimes = tag(11, wireBytes);

/** Bytes of a whole `SyncResponse`. */
export function deltaPartBytes(of: DeltaPart): number {
  const size = deltaBytes(of);
  return 1 + varintBytes(size) + size;
}

/** A whole `SyncResponse`. */
export function encodeDeltaPart(of: DeltaPart): Uint8Array {
  const isSeveral = of.parts > 1;
  const size = deltaBytes(of);
  const removedBytes = of.removed.length * removedEntryBytes;
  const bytes = new Uint8Array(1 + varintBytes(size) + size);
  let at = 0;
  const varint = (value: number): void => {
    at = writeVarint(bytes, at, value);
  };
  const packed = (fieldTag: number, values: readonly number[]): void => {
    if (values.length === 0) return;
    bytes[at++] = fieldTag;
    varint(packedBytes(values));
    for (const value of values) varint(value);
  };
  bytes[at++] = tagDelta;
  varint(size);
  if (of.from !== undefined) {
    bytes[at++] = tagFrom;
    varint(of.from);
  }
  bytes[at++] = tagTo;
  varint(of.to);
  if (isSeveral) {
    if (of.part !== 0) {
      bytes[at++] = tagPart;
      varint(of.part);
    }
    bytes[at++] = tagParts;
    varint(of.parts);
  }
  if (of.from === undefined) {
    bytes[at++] = tagScope;
    varint(scopeBytes(of));
    if (of.buckets === undefined) {
      bytes[at++] = tagScopeEverything;
      bytes[at++] = 1;
    } else {
      packed(tagScopeBuckets, of.buckets);
    }
  }
  if (of.isMassRemovalConfirmed) {
    bytes[at++] = tagMassRemovalConfirmed;
    bytes[at++] = 1;
  }
  if (of.trace !== undefined) {
    const share = wireNodesPerMillion(of.trace);
    bytes[at++] = tagTrace;
    varint(traceBytes(of.trace));
    for (const [fieldTag, hex] of [
      [tagTraceId, of.trace.traceId],
      [tagSpanId, of.trace.spanId],
    ] as const) {
      const id = parseHex(hex);
      bytes[at++] = fieldTag;
      varint(id.length);
      bytes.set(id, at);
      at += id.length;
    }
    if (share > 0) {
      bytes[at++] = tagNodesPerMillion;
      varint(share);
    }
  }
  if (removedBytes > 0) {
    bytes[at++] = tagRemoved;
    varint(removedBytes);
    const view = new DataView(bytes.buffer);
    for (const id of of.removed) {
      view.setBigUint64(at, id, true);
      at += removedEntryBytes;
    }
  }
  for (const resource of of.resources) {
    bytes[at++] = tagResources;
    varint(resource.bytesLength);
    resource.copyTo(bytes, at);
    at += resource.bytesLength;
  }
  packed(tagIpv4TriggerTimes, of.triggers.ipv4);
  packed(tagIpv6TriggerTimes, of.triggers.ipv6);
  if (at !== bytes.length) throw new RangeError(`delta ${of.to}: ${at} bytes written, ${bytes.length} counted`);
  return bytes;
}

// Bytes of the Delta inside.
function deltaBytes(of: DeltaPart): number {
  let size = 1 + varintBytes(of.to);
  if (of.from !== undefined) size += 1 + varintBytes(of.from);
  if (of.parts > 1) size += (of.part === 0 ? 0 : 1 + varintBytes(of.part)) + 1 + varintBytes(of.parts);
  if (of.from === undefined) {
    const scope = scopeBytes(of);
    size += 1 + varintBytes(scope) + scope;
  }
  if (of.isMassRemovalConfirmed) size += 2;
  if (of.trace !== undefined) size += 2 + traceBytes(of.trace);
  const removedBytes = of.removed.length * removedEntryBytes;
  if (removedBytes > 0) size += 1 + varintBytes(removedBytes) + removedBytes;
  for (const resource of of.resources) size += resourceEntryBytes(resource);
  return size + triggersBytes(of.triggers);
}

// Bytes of the Scope inside.
function scopeBytes({ buckets }: DeltaPart): number {
  return buckets === undefined ? 2 : bucketsBytes(buckets);
}

// Of the TraceContext inside: two ids of fixed length, and a share if it is not all.
function traceBytes(of: TraceContext): number {
  const share = wireNodesPerMillion(of);
  return 18 + 10 + (share === 0 ? 0 : 1 + varintBytes(share));
}

// Tag, length and the numbers of a packed field; an empty one is not written.
function packedEntryBytes(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const size = packedBytes(values);
  return 1 + varintBytes(size) + size;
}

function packedBytes(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + varintBytes(value), 0);
}
