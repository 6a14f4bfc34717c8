/**
 * A resource in memory: its encoded bytes, packed, and the little that is asked for often. Everything else is decoded when it is
 * asked for. At 250,000 backends the messages themselves would take 300 MB, these take 60.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { addressFromBytes } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Resource } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { hash64 } from "@weft/proto/hash.ts";
import type { Hash64 } from "@weft/proto/hash.ts";
import type { ResourceId, ResourceKind } from "@weft/proto/ids.ts";
import { copyPacked, packBytes } from "./packed-bytes.ts";
import type { PackedBytes } from "./packed-bytes.ts";
import type { CompiledResource, ResourceValue } from "./resource.ts";

/** Tag of `Resource.id`, a fixed64 in little-endian order: the first field, always there. */
const tagId = 0x09;
/** What comes before the body of a resource. */
export const idBytes = 9;

/** Writes what comes before the body, from `at` on. */
export function writeId(id: ResourceId, target: Uint8Array, at: number): void {
  target[at] = tagId;
  const view = new DataView(target.buffer, target.byteOffset + at + 1, 8);
  view.setBigUint64(0, id, true);
}

export abstract class PackedResource implements CompiledResource {
  readonly id: ResourceId;
  readonly body: PackedBytes;
  // Signed: numbers of 31 bits and more would be objects of their own otherwise.
  readonly #hashHigh: number;
  readonly #hashLow: number;

  constructor(id: ResourceId, body: PackedBytes, { high, low }: Hash64) {
    this.id = id;
    this.body = body;
    this.#hashHigh = high | 0;
    this.#hashLow = low | 0;
  }

  abstract get kind(): ResourceKind;
  abstract get name(): string;
  abstract get service(): ResourceId | undefined;
  abstract get address(): Address | undefined;

  get hash(): Hash64 {
    return { high: this.#hashHigh >>> 0, low: this.#hashLow >>> 0 };
  }

  get bytesLength(): number {
    return idBytes + this.body.length;
  }

  copyTo(target: Uint8Array, at: number): void {
    writeId(this.id, target, at);
    copyPacked(this.body, target, at + idBytes);
  }

  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.bytesLength);
    this.copyTo(bytes, 0);
    return bytes;
  }

  get value(): ResourceValue {
    return valueOf(fromBinary(ResourceSchema, this.bytes));
  }
}

/** A resource that keeps its name: few are of this sort. */
export class NamedResource extends PackedResource {
  readonly kind: ResourceKind;
  readonly name: string;
  readonly service: ResourceId | undefined;
  readonly address: Address | undefined;

  /** `message`: with its id. */
  constructor(name: string, message: Resource) {
    const bytes = toBinary(ResourceSchema, message);
    const value = valueOf(message);
    super(message.id as ResourceId, packBytes(bytes, idBytes), hash64(bytes));
    this.kind = value.kind;
    this.name = name;
    this.service = value.kind === "backend" ? (value.backend.service as ResourceId) : undefined;
    this.address = value.kind === "backend" ? addressFromBytes(value.backend.address) : undefined;
  }
}

function valueOf({ kind }: Resource): ResourceValue {
  switch (kind.case) {
    case "service":
      return { kind: "service", service: kind.value };
    case "backend":
      return { kind: "backend", backend: kind.value };
    case "name":
      return { kind: "name", name: kind.value };
    case undefined:
      throw new RangeError("a compiled resource has a kind");
  }
}
