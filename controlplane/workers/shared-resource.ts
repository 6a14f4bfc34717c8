/** A resource of a worker's catalog: its bytes are a view of what the main thread wrote for all workers. */
import { fromBinary } from "@bufbuild/protobuf";
import { addressFromBytes } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Hash64 } from "@weft/proto/hash.ts";
import type { ResourceId, ResourceKind } from "@weft/proto/ids.ts";
import { packBytes } from "../catalog/packed-bytes.ts";
import type { PackedBytes } from "../catalog/packed-bytes.ts";
import { idBytes, valueOf } from "../catalog/packed-resource.ts";
import type { CompiledResource, ResourceValue } from "../catalog/resource.ts";

/** Bytes in a buffer that nobody writes any more. */
export interface Place {
  readonly buffer: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export class SharedResource implements CompiledResource {
  readonly id: ResourceId;
  readonly kind: ResourceKind;
  readonly service: ResourceId | undefined;
  // Signed: numbers of 31 bits and more would be objects of their own otherwise.
  readonly #hashHigh: number;
  readonly #hashLow: number;
  // A view of its own would take more than the bytes it shows.
  #buffer: Uint8Array;
  #start: number;
  readonly #length: number;

  constructor(id: ResourceId, kind: ResourceKind, service: ResourceId | undefined, { high, low }: Hash64, at: Place) {
    this.id = id;
    this.kind = kind;
    this.service = service;
    this.#hashHigh = high | 0;
    this.#hashLow = low | 0;
    this.#buffer = at.buffer;
    this.#start = at.start;
    this.#length = at.end - at.start;
  }

  get hash(): Hash64 {
    return { high: this.#hashHigh >>> 0, low: this.#hashLow >>> 0 };
  }

  get bytesLength(): number {
    return this.#length;
  }

  copyTo(target: Uint8Array, at: number): void {
    target.set(this.#buffer.subarray(this.#start, this.#start + this.#length), at);
  }

  /** Not shared: decoders refuse shared memory. */
  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#length);
    this.copyTo(bytes, 0);
    return bytes;
  }

  get body(): PackedBytes {
    return packBytes(this.bytes, idBytes);
  }

  /** Workers draft nothing, so the name that the id was made of is not sent to them. */
  get name(): string {
    return this.id.toString(16);
  }

  get address(): Address | undefined {
    const { value } = this;
    return value.kind === "backend" ? addressFromBytes(value.backend.address) : undefined;
  }

  get value(): ResourceValue {
    return valueOf(fromBinary(ResourceSchema, this.bytes));
  }

  /** The same bytes elsewhere. */
  move({ buffer, start }: Place): void {
    this.#buffer = buffer;
    this.#start = start;
  }
}
