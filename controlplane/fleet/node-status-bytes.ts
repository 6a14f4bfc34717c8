/**
 * Encodes `FleetStatus.nodes` by hand, thousands at a time: by message objects and protobuf-es the first answers after a start came
 * late, as so much code was not compiled yet. `node-status-bytes.property.test.ts` holds it against protobuf-es. Field numbers:
 * fleet.proto.
 */
import { toBinary } from "@bufbuild/protobuf";
import type { Revision } from "@weft/proto/cursor.ts";
import type { Versions } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { NodeStatusSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { varintBytes, writeVarint } from "@weft/proto/varint.ts";
import type { FleetNode } from "./fleet-node.ts";
import { nodeStatus } from "./node-status.ts";

const wireVarint = 0;
const wireFixed64 = 1;
const wireBytes = 2;
const tag = (field: number, wire: number): number => (field << 3) | wire;

const tagNodes = tag(4, wireBytes);
const tagNode = tag(1, wireBytes);
const tagConnected = tag(2, wireVarint);
const tagReceived = tag(3, wireVarint);
const tagApplied = tag(4, wireVarint);
const tagLag = tag(5, wireVarint);
const tagRoundTripUs = tag(6, wireVarint);
const tagFailuresTotal = tag(8, wireVarint);
const tagVersions = tag(9, wireBytes);
const tagAddresses = tag(10, wireBytes);
const tagPeer = tag(11, wireBytes);
const tagDigest = tag(12, wireFixed64);
const tagSeenMs = tag(13, wireVarint);
const tagAgent = tag(1, wireBytes);
const tagKernel = tag(2, wireBytes);
const tagDataplane = tag(3, wireBytes);

/** Of one node without its texts: tags, lengths and numbers. */
const numbersBytesMax = 128;
/** Of one node, to begin with. */
const usualBytes = 160;

export class NodeStatusBytes {
  #bytes: Buffer;
  #at = 0;

  /** @param nodes How many are to come, about. */
  constructor(nodes: number) {
    this.#bytes = Buffer.allocUnsafe(nodes * usualBytes + numbersBytesMax);
  }

  /** What was added; valid until more is. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** @param node Undefined: it has a Node object and never connected. */
  add(name: string, node: FleetNode | undefined, head: Revision): void {
    // Failures are seldom, and long.
    const isPlain =
      node === undefined ||
      (node.failures.length === 0 && node.heldReason === undefined && node.versions?.$unknown === undefined);
    if (!isPlain) {
      this.#addMessage(toBinary(NodeStatusSchema, nodeStatus(name, node, head)));
      return;
    }
    this.#reserve(numbersBytesMax + textBytesMax(name, node));
    const start = this.#open(tagNodes);
    this.#text(tagNode, name);
    if (node === undefined) this.#varint(tagLag, head);
    else this.#node(node, head);
    this.#close(start);
  }

  #node(node: FleetNode, head: Revision): void {
    const { stream, roundTripUs, versions, addresses } = node;
    if (stream.kind === "open") this.#varint(tagConnected, 1);
    this.#varint(tagReceived, node.received);
    this.#varint(tagApplied, node.applied);
    this.#varint(tagLag, head - node.applied);
    // Said also where it is 0.
    if (roundTripUs !== undefined) this.#number(tagRoundTripUs, roundTripUs);
    this.#varint(tagFailuresTotal, node.failuresTotal);
    if (versions !== undefined) this.#versions(versions);
    if (addresses !== undefined) for (const address of addresses) this.#element(tagAddresses, address);
    if (stream.kind === "open") this.#text(tagPeer, stream.peer);
    if (node.digest !== 0n) {
      this.#bytes[this.#at] = tagDigest;
      this.#at = this.#bytes.writeBigUInt64LE(node.digest, this.#at + 1);
    }
    this.#varint(tagSeenMs, Math.floor(node.seenMs));
  }

  #versions({ agent, kernel, dataplane }: Versions): void {
    const start = this.#open(tagVersions);
    this.#text(tagAgent, agent);
    this.#text(tagKernel, kernel);
    this.#text(tagDataplane, dataplane);
    this.#close(start);
  }

  #addMessage(message: Uint8Array): void {
    this.#reserve(1 + varintBytes(message.length) + message.length);
    this.#number(tagNodes, message.length);
    this.#bytes.set(message, this.#at);
    this.#at += message.length;
  }

  #reserve(more: number): void {
    const least = this.#at + more;
    if (least <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(least, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }

  #open(fieldTag: number): number {
    this.#bytes[this.#at] = fieldTag;
    this.#at += 2;
    return this.#at;
  }

  // Writes the length that was left open before `start`: one byte, mostly.
  #close(start: number): void {
    const length = this.#at - start;
    const extra = varintBytes(length) - 1;
    if (extra > 0) {
      this.#bytes.copyWithin(start + extra, start, this.#at);
      this.#at += extra;
    }
    writeVarint(this.#bytes, start - 1, length);
  }

  #text(fieldTag: number, text: string): void {
    if (text !== "") this.#element(fieldTag, text);
  }

  // Of a repeated field: an empty one is said too.
  #element(fieldTag: number, text: string): void {
    const start = this.#open(fieldTag);
    this.#at += this.#bytes.write(text, start);
    this.#close(start);
  }

  #varint(fieldTag: number, value: number): void {
    if (value !== 0) this.#number(fieldTag, value);
  }

  #number(fieldTag: number, value: number): void {
    this.#bytes[this.#at] = fieldTag;
    this.#at = writeVarint(this.#bytes, this.#at + 1, value);
  }
}

// UTF-8 takes at most 3 bytes for a unit of UTF-16; beside it a tag and a length.
function textBytesMax(name: string, node: FleetNode | undefined): number {
  let most = 3 * name.length;
  if (node === undefined) return most;
  const { stream, versions, addresses } = node;
  if (stream.kind === "open") most += 3 * stream.peer.length;
  if (versions !== undefined) most += 3 * (versions.agent.length + versions.kernel.length + versions.dataplane.length);
  if (addresses !== undefined) for (const address of addresses) most += 8 + 3 * address.length;
  return most;
}
