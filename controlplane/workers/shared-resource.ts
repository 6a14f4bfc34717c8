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

export class SharedResource implements CompiledResource {
  readonly id: ResourceId;
  readonly kind: ResourceKind;
  readonly service: ResourceId | undefined;
  readonly hash: Hash64;
  #place: Uint8Array;

  /** `place`: its bytes, in a buffer that nobody writes any more. */
  constructor(id: ResourceId, kind: ResourceKind, service: ResourceId | undefined, hash: Hash64, place: Uint8Array) {
    this.id = id;
    this.kind = kind;
    this.service = service;
    this.hash = hash;
    this.#place = place;
  }

  get bytesLength(): number {
    return this.#place.length;
  }

  copyTo(target: Uint8Array, at: number): void {
    target.set(this.#place, at);
  }

  /** Not shared: decoders refuse shared memory. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.#place);
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

  /** @param place The same bytes elsewhere. */
  move(place: Uint8Array): void {
    this.#place = place;
  }
}
