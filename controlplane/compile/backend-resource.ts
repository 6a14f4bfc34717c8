/** A Backend in memory. Its name is long, and asked for only when the backend changes. */
import { addressFromBytes } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import type { Hash64 } from "@weft/proto/hash.ts";
import { backendName } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { PackedBytes } from "../catalog/packed-bytes.ts";
import { PackedResource } from "../catalog/packed-resource.ts";

/** A service that backends belong to; one object for all of them. */
export interface BackendOwner {
  readonly id: ResourceId;
  readonly name: string;
}

export class BackendResource extends PackedResource {
  readonly address: Address;
  /** Name of the node whose local copy it is; "": it is none. */
  readonly localCopyOf: string;
  readonly #owner: BackendOwner;

  constructor(
    id: ResourceId,
    body: PackedBytes,
    hash: Hash64,
    owner: BackendOwner,
    address: Address,
    localCopyOf: string,
  ) {
    super(id, body, hash);
    this.#owner = owner;
    this.address = address;
    this.localCopyOf = localCopyOf;
  }

  get kind(): "backend" {
    return "backend";
  }

  get service(): ResourceId {
    return this.#owner.id;
  }

  get name(): string {
    const { value } = this;
    if (value.kind !== "backend") throw new TypeError("the body of a backend is one");
    const { address, ports } = value.backend;
    return backendName(this.#owner.name, addressFromBytes(address), ports, this.localCopyOf);
  }
}
