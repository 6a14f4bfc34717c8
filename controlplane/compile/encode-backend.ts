/**
 * Encodes Backends by hand: of a message object per endpoint, 250,000 at the start, making it costs more than all the rest of compile.
 * `encode-backend.property.test.ts` holds it against protobuf-es. Field numbers: resource.proto.
 */
import { copyAddressBytes } from "@weft/proto/address.ts";
import { hash64 } from "@weft/proto/hash.ts";
import type { Hash64 } from "@weft/proto/hash.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { packBytes } from "../catalog/packed-bytes.ts";
import type { PackedBytes } from "../catalog/packed-bytes.ts";
import { idBytes, writeId } from "../catalog/packed-resource.ts";
import { protocolNumbers } from "./merge-endpoints.ts";
import type { EndpointGroup } from "./merge-endpoints.ts";

/** Ids that a Backend refers to. */
export interface BackendReferences {
  readonly service: ResourceId;
  /** 0: none. */
  readonly node: bigint;
  /** 0: none. */
  readonly zone: bigint;
  /** Ascending. */
  readonly zoneHints: readonly bigint[];
  /** Ascending. */
  readonly nodeHints: readonly bigint[];
}

const wireVarint = 0;
const wireFixed64 = 1;
const wireBytes = 2;
const tag = (field: number, wire: number): number => (field << 3) | wire;

const tagBackend = tag(3, wireBytes);
const tagService = tag(1, wireFixed64);
const tagAddress = tag(2, wireBytes);
const tagPorts = tag(3, wireBytes);
const tagNode = tag(4, wireFixed64);
const tagZone = tag(5, wireFixed64);
const tagZoneHints = tag(6, wireBytes);
const tagNodeHints = tag(7, wireBytes);
const tagNotReady = tag(8, wireVarint);
const tagNotServing = tag(9, wireVarint);
const tagTerminating = tag(10, wireVarint);
const tagLocalCopy = tag(11, wireVarint);
const tagPortName = tag(1, wireBytes);
const tagPortProtocol = tag(2, wireVarint);
const tagPortNumber = tag(3, wireVarint);

export class BackendEncoder {
  // Of one backend, from `idBytes` on; what comes before is written when the id is known.
  #bytes = new Uint8Array(1_024);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  /** Everything but the id. */
  encode(group: EndpointGroup, references: BackendReferences): PackedBytes {
    this.#reserve(group, references);
    this.#at = idBytes;
    const start = this.#open(tagBackend);
    this.#fixed64(tagService, references.service);
    this.#address(group);
    for (const { name, protocol, number } of group.ports) {
      const portStart = this.#open(tagPorts);
      this.#text(tagPortName, name);
      this.#varint(tagPortProtocol, protocolNumbers[protocol]);
      this.#varint(tagPortNumber, number);
      this.#close(portStart);
    }
    if (references.node !== 0n) this.#fixed64(tagNode, references.node);
    if (references.zone !== 0n) this.#fixed64(tagZone, references.zone);
    this.#ids(tagZoneHints, references.zoneHints);
    this.#ids(tagNodeHints, references.nodeHints);
    const { isReady, isServing, isTerminating } = group.endpoint;
    if (!isReady) this.#varint(tagNotReady, 1);
    if (!isServing) this.#varint(tagNotServing, 1);
    if (isTerminating) this.#varint(tagTerminating, 1);
    if (group.isLocalCopy) this.#varint(tagLocalCopy, 1);
    this.#close(start);
    return packBytes(this.#bytes, idBytes, this.#at);
  }

  /** Hash of what was encoded last, as the resource of that id. */
  hash(id: ResourceId): Hash64 {
    writeId(id, this.#bytes, 0);
    return hash64(this.#bytes.subarray(0, this.#at));
  }

  #reserve({ ports }: EndpointGroup, { zoneHints, nodeHints }: BackendReferences): void {
    let most = 128 + 8 * (zoneHints.length + nodeHints.length);
    for (const { name } of ports) most += 16 + name.length;
    if (most <= this.#bytes.length) return;
    this.#bytes = new Uint8Array(most);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #open(fieldTag: number): number {
    this.#bytes[this.#at++] = fieldTag;
    this.#at++;
    return this.#at;
  }

  // Writes the length that was left open before `start`.
  #close(start: number): void {
    const length = this.#at - start;
    const extra = varintBytes(length) - 1;
    if (extra > 0) {
      this.#bytes.copyWithin(start + extra, start, this.#at);
      this.#at += extra;
    }
    writeVarint(this.#bytes, start - 1, length);
  }

  #address({ address }: EndpointGroup): void {
    this.#bytes[this.#at] = tagAddress;
    const length = copyAddressBytes(address, this.#bytes, this.#at + 2);
    this.#bytes[this.#at + 1] = length;
    this.#at += 2 + length;
  }

  #text(fieldTag: number, text: string): void {
    if (text === "") return;
    this.#bytes[this.#at++] = fieldTag;
    this.#at = writeVarint(this.#bytes, this.#at, text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) throw new RangeError(`a port name is ASCII, not ${JSON.stringify(text)}`);
      this.#bytes[this.#at++] = code;
    }
  }

  #varint(fieldTag: number, value: number): void {
    if (value === 0) return;
    this.#bytes[this.#at++] = fieldTag;
    this.#at = writeVarint(this.#bytes, this.#at, value);
  }

  #fixed64(fieldTag: number, value: bigint): void {
    this.#bytes[this.#at++] = fieldTag;
    this.#view.setBigUint64(this.#at, value, true);
    this.#at += 8;
  }

  #ids(fieldTag: number, ids: readonly bigint[]): void {
    if (ids.length === 0) return;
    this.#bytes[this.#at++] = fieldTag;
    this.#at = writeVarint(this.#bytes, this.#at, ids.length * 8);
    for (const id of ids) {
      this.#view.setBigUint64(this.#at, id, true);
      this.#at += 8;
    }
  }
}

// Numbers up to 2^31.
function varintBytes(value: number): number {
  let size = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) size++;
  return size;
}

function writeVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  for (; rest >= 128; rest >>>= 7) bytes[at++] = (rest & 127) | 128;
  bytes[at++] = rest;
  return at;
}
