/**
 * The form of the state on disk: a header, then records. Each record is {length u32, checksum u64, payload}, little-endian; the
 * checksum covers the payload. Payloads are puts (encoded resources), removals (ids) or a commit (cursor and node view), which
 * makes everything before it valid. So a torn or damaged tail costs what came after the last good commit, and nothing else.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import { CursorSchema, NodeViewSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { NodeView } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { Digest, digestBuckets } from "@weft/proto/digest.ts";
import { hash64 } from "@weft/proto/hash.ts";
import { receivedId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { HeldResources, resourceKinds, serviceKind } from "./held-resources.ts";
import { noSlot } from "./id-table.ts";
import type { HeldResource } from "./received-resource.ts";

export const stateVersion = 2;
/** "WEFTSTAT", the version as u32, 4 zero bytes. */
export const headerBytes = 16;
const magic = "WEFTSTAT";
const recordHeadBytes = 12;
/** Payload at which a record of puts is closed. */
const recordTargetBytes = 256 * 1_024;
/** A longer record is damage. One resource may exceed the target. */
export const recordBytesMax = 64 * 1_024 * 1_024;
const removalsPerRecord = 16_384;

const putHeadBytes = 33;
/** On disk, rather more than most take: room for what is held is made by it. */
const bytesPerResource = 128;

const tagPuts = 1;
const tagRemovals = 2;
const tagCommit = 3;

/** What is written in one step. */
export interface StateWrite {
  readonly removed: Iterable<ResourceId>;
  readonly puts: Iterable<readonly [ResourceId, HeldResource]>;
  readonly commit: StateCommit;
}

export interface StateCommit {
  /** Undefined: nothing is held, only the node view is known. */
  readonly cursor: Cursor | undefined;
  readonly view: NodeView | undefined;
}

/** What a good file says. */
export interface SavedState extends StateCommit {
  /** Of the reader: whoever takes it may change it. */
  readonly resources: HeldResources;
  /** Of `resources`. */
  readonly digest: Digest;
}

export type StateReading =
  | {
      readonly kind: "state";
      readonly state: SavedState;
      /** Bytes up to the last good commit; what follows is torn or damaged. */
      readonly goodBytes: number;
    }
  /** A header and nothing yet. */
  | { readonly kind: "empty" }
  | { readonly kind: "unusable"; readonly reason: string };

export function encodeHeader(): Uint8Array {
  const header = new Uint8Array(headerBytes);
  for (let i = 0; i < magic.length; i++) header[i] = magic.charCodeAt(i);
  new DataView(header.buffer).setUint32(magic.length, stateVersion, true);
  return header;
}

/** Records of one step, each ready to be written; the last one is the commit. */
export function* encodeWrite(write: StateWrite): Generator<Uint8Array, undefined> {
  let ids: ResourceId[] = [];
  for (const id of write.removed) {
    ids.push(id);
    if (ids.length < removalsPerRecord) continue;
    yield encodeRemovals(ids);
    ids = [];
  }
  if (ids.length > 0) yield encodeRemovals(ids);
  let parts: (readonly [ResourceId, HeldResource])[] = [];
  let size = 0;
  for (const put of write.puts) {
    parts.push(put);
    size += putHeadBytes + nameBytes(put[1]) + put[1].bytes.length;
    if (size < recordTargetBytes) continue;
    yield encodePuts(parts, size);
    parts = [];
    size = 0;
  }
  if (parts.length > 0) yield encodePuts(parts, size);
  yield encodeCommit(write.commit);
}

/** Never throws: damage ends the reading at the last good commit. */
export function readState(bytes: Uint8Array): StateReading {
  if (bytes.length < headerBytes) return { kind: "unusable", reason: "it is shorter than its header" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (String.fromCharCode(...bytes.subarray(0, magic.length)) !== magic)
    return { kind: "unusable", reason: "it is no state file" };
  const version = view.getUint32(magic.length, true);
  if (version !== stateVersion || view.getUint32(magic.length + 4, true) !== 0) {
    return { kind: "unusable", reason: `it is of version ${version}, this agent reads ${stateVersion}` };
  }
  if (bytes.length === headerBytes) return { kind: "empty" };
  const held = new SavedResources();
  held.resources.reserve(Math.floor(bytes.length / bytesPerResource));
  let last: (StateCommit & { readonly goodBytes: number }) | undefined;
  // Operations since the last commit: applied by the next one.
  let pending: (() => void)[] = [];
  let at = headerBytes;
  for (;;) {
    const payload = readRecord(bytes, view, at);
    if (payload === undefined) break;
    at += recordHeadBytes + payload.length;
    const operation = readPayload(payload, held);
    if (operation === undefined) break;
    if (typeof operation === "function") {
      pending.push(operation);
    } else {
      for (const apply of pending) apply();
      pending = [];
      last = { ...operation, goodBytes: at };
    }
  }
  if (last === undefined) return { kind: "unusable", reason: "it holds no complete state" };
  return {
    kind: "state",
    state: { resources: held.resources, digest: held.digest, cursor: last.cursor, view: last.view },
    goodBytes: last.goodBytes,
  };
}

// Undefined: no whole, undamaged record starts here.
function readRecord(bytes: Uint8Array, view: DataView, at: number): Uint8Array | undefined {
  if (at + recordHeadBytes > bytes.length) return undefined;
  const length = view.getUint32(at, true);
  if (length === 0 || length > recordBytesMax || at + recordHeadBytes + length > bytes.length) return undefined;
  const payload = bytes.subarray(at + recordHeadBytes, at + recordHeadBytes + length);
  const checksum = hash64(payload);
  if (view.getUint32(at + 4, true) !== checksum.low || view.getUint32(at + 8, true) !== checksum.high) return undefined;
  return payload;
}

// A function: an operation that waits for its commit. Undefined: not readable.
function readPayload(payload: Uint8Array, into: SavedResources): (() => void) | StateCommit | undefined {
  try {
    const body = payload.subarray(1);
    switch (payload[0]) {
      case tagPuts: {
        checkPuts(body);
        return () => into.put(body);
      }
      case tagRemovals: {
        const ids = readRemovals(body);
        return () => into.remove(ids);
      }
      case tagCommit:
        return readCommit(body);
      default:
        return undefined;
    }
  } catch {
    return undefined;
  }
}

// Each put: {length u32, kind u8, length of the name u32 (0 unless a service), id u64, service u64 (0 unless a backend), hash u64,
// name, encoded resource}. What the store needs stands in the clear, under the checksum of its record: decoding and hashing 250,000
// backends would take most of a second of a node's start.
function checkPuts(body: Uint8Array): void {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  for (let at = 0; at < body.length;) {
    const isZero = view.getUint32(at + 9, true) === 0 && view.getUint32(at + 13, true) === 0;
    if (isZero || resourceKinds[view.getUint8(at + 4)] === undefined) throw new RangeError("a put of no id or no kind");
    at += putHeadBytes + view.getUint32(at + 5, true) + view.getUint32(at, true);
    if (at > body.length) throw new RangeError("a put beyond its record");
  }
}

/** What the records up to the last commit say. */
class SavedResources {
  readonly resources = new HeldResources();
  readonly digest = new Digest();
  readonly #decoder = new TextDecoder();

  /** Of checked puts. */
  put(body: Uint8Array): void {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    for (let at = 0; at < body.length;) {
      const nameAt = at + putHeadBytes;
      const start = nameAt + view.getUint32(at + 5, true);
      const end = start + view.getUint32(at, true);
      const kind = view.getUint8(at + 4);
      const idLow = view.getUint32(at + 9, true);
      const idHigh = view.getUint32(at + 13, true);
      this.#forget(this.resources.slotOfHalves(idLow, idHigh));
      this.resources.setEncoded({
        idLow,
        idHigh,
        kind,
        name: kind === serviceKind ? this.#decoder.decode(body.subarray(nameAt, start)) : "",
        serviceLow: view.getUint32(at + 17, true),
        serviceHigh: view.getUint32(at + 21, true),
        from: body,
        start,
        end,
      });
      const hash = { low: view.getUint32(at + 25, true), high: view.getUint32(at + 29, true) };
      this.digest.addTo(idLow % digestBuckets, hash);
      at = end;
    }
  }

  remove(ids: readonly ResourceId[]): void {
    for (const id of ids) {
      this.#forget(this.resources.slotOf(id));
      this.resources.delete(id);
    }
  }

  #forget(slot: number): void {
    if (slot !== noSlot) this.digest.remove(this.resources.idAt(slot), hash64(this.resources.viewAt(slot)));
  }
}

function readRemovals(body: Uint8Array): readonly ResourceId[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const ids: ResourceId[] = [];
  for (let at = 0; at < body.length; at += 8) ids.push(receivedId(view.getBigUint64(at, true)));
  return ids;
}

// {length of the cursor u32, cursor, length of the view u32, view}; a length of 0xffffffff stands for none.
function readCommit(body: Uint8Array): StateCommit {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const cursorLength = view.getUint32(0, true);
  const cursorBytes = cursorLength === none ? undefined : body.subarray(4, 4 + cursorLength);
  const viewAt = 4 + (cursorBytes?.length ?? 0);
  const viewLength = view.getUint32(viewAt, true);
  const viewBytes = viewLength === none ? undefined : body.subarray(viewAt + 4, viewAt + 4 + viewLength);
  return {
    cursor: cursorBytes === undefined ? undefined : readCursor(cursorBytes),
    // A copy: decoded addresses are views, and would keep the whole file in memory.
    view: viewBytes === undefined ? undefined : fromBinary(NodeViewSchema, new Uint8Array(viewBytes)),
  };
}

const none = 0xffff_ffff;

function readCursor(bytes: Uint8Array): Cursor {
  const message = fromBinary(CursorSchema, bytes);
  if (message.epoch === undefined) throw new RangeError("a cursor without an epoch");
  return { epoch: epoch(message.epoch.createdMs, message.epoch.random), revision: revision(message.revision) };
}

function encodeCommit({ cursor, view }: StateCommit): Uint8Array {
  const cursorBytes =
    cursor === undefined
      ? undefined
      : toBinary(
          CursorSchema,
          create(CursorSchema, {
            epoch: { createdMs: BigInt(cursor.epoch.createdMs), random: cursor.epoch.random },
            revision: BigInt(cursor.revision),
          }),
        );
  const viewBytes = view === undefined ? undefined : toBinary(NodeViewSchema, view);
  const payload = new Uint8Array(1 + 4 + (cursorBytes?.length ?? 0) + 4 + (viewBytes?.length ?? 0));
  const data = new DataView(payload.buffer);
  payload[0] = tagCommit;
  data.setUint32(1, cursorBytes?.length ?? none, true);
  payload.set(cursorBytes ?? [], 5);
  const viewAt = 5 + (cursorBytes?.length ?? 0);
  data.setUint32(viewAt, viewBytes?.length ?? none, true);
  payload.set(viewBytes ?? [], viewAt + 4);
  return encodeRecord(payload);
}

function encodePuts(puts: readonly (readonly [ResourceId, HeldResource])[], size: number): Uint8Array {
  const payload = Buffer.alloc(1 + size);
  const data = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  payload[0] = tagPuts;
  let at = 1;
  for (const [id, resource] of puts) {
    const nameLength = nameBytes(resource);
    const { length } = resource.bytes;
    const nameAt = at + putHeadBytes;
    const bytes = payload.subarray(nameAt + nameLength, nameAt + nameLength + length);
    bytes.write(resource.bytes, "latin1");
    if (resource.kind === "service") payload.write(resource.name, nameAt, "utf8");
    const { low, high } = hash64(bytes);
    data.setUint32(at, length, true);
    data.setUint8(at + 4, resourceKinds.indexOf(resource.kind));
    data.setUint32(at + 5, nameLength, true);
    data.setBigUint64(at + 9, id, true);
    data.setBigUint64(at + 17, resource.kind === "backend" ? resource.service : 0n, true);
    data.setUint32(at + 25, low, true);
    data.setUint32(at + 29, high, true);
    at = nameAt + nameLength + length;
  }
  return encodeRecord(payload);
}

function nameBytes(resource: HeldResource): number {
  return resource.kind === "service" ? Buffer.byteLength(resource.name) : 0;
}

function encodeRemovals(ids: readonly ResourceId[]): Uint8Array {
  const payload = new Uint8Array(1 + ids.length * 8);
  const data = new DataView(payload.buffer);
  payload[0] = tagRemovals;
  for (const [i, id] of ids.entries()) data.setBigUint64(1 + i * 8, id, true);
  return encodeRecord(payload);
}

function encodeRecord(payload: Uint8Array): Uint8Array {
  const record = new Uint8Array(recordHeadBytes + payload.length);
  const data = new DataView(record.buffer);
  const checksum = hash64(payload);
  data.setUint32(0, payload.length, true);
  data.setUint32(4, checksum.low, true);
  data.setUint32(8, checksum.high, true);
  record.set(payload, recordHeadBytes);
  return record;
}
