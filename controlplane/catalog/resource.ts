/** What compile gives to the catalog, and what a commit tells the rest of the control plane. */
import type { Address } from "@weft/proto/address.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import type { Backend, Name, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Hash64 } from "@weft/proto/hash.ts";
import type { ResourceId, ResourceKind } from "@weft/proto/ids.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import type { PackedBytes } from "./packed-bytes.ts";

export type ResourceValue =
  | { readonly kind: "service"; readonly service: Service }
  | { readonly kind: "backend"; readonly backend: Backend }
  | { readonly kind: "name"; readonly name: Name };

/** An encoded `Resource`, exactly what agents receive and hash. */
export interface EncodedResource {
  readonly bytesLength: number;
  /** Writes its bytes into `target` from `at` on. */
  copyTo(target: Uint8Array, at: number): void;
}

/** A resource as it is kept and sent. It never changes; what compile makes of the same records again is another object. */
export interface CompiledResource extends EncodedResource {
  readonly id: ResourceId;
  readonly kind: ResourceKind;
  /** A backend's service; undefined: it is none. */
  readonly service: ResourceId | undefined;
  /** A backend's; undefined: it is none. */
  readonly address: Address | undefined;
  /** All of its bytes but the id. Two resources with the same id and body are the same. */
  readonly body: PackedBytes;
  readonly hash: Hash64;
  /** The name that the id was derived from; two names with one id: the smaller wins, the other is refused. Made when asked for. */
  readonly name: string;
  /** A copy, made when asked for. */
  readonly bytes: Uint8Array;
  /** Decoded when asked for. */
  readonly value: ResourceValue;
}

/** What compile found different since it was asked last. A removed service's backends are listed too. */
export interface CompiledChanges {
  readonly puts: readonly CompiledResource[];
  readonly removals: readonly ResourceId[];
  /** What triggered them, as far as it is known. */
  readonly triggers?: TriggerTimes;
}

/** One revision, as the log, the fan-out and the fleet see it. Only what really changed is listed. */
export interface Commit {
  readonly revision: Revision;
  readonly puts: readonly CompiledResource[];
  /** What was removed, as it last was; backends of a removed service included. */
  readonly removals: readonly CompiledResource[];
  /** What the puts replaced, by id; absent: new. */
  readonly replaced: ReadonlyMap<ResourceId, CompiledResource>;
  /** What triggered it, as far as it is known. */
  readonly triggers: TriggerTimes;
}
