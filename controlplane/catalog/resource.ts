/** What compile gives to the catalog, and what a commit tells the rest of the control plane. */
import type { Revision } from "@weft/proto/cursor.ts";
import type { Backend, Name, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Hash64 } from "@weft/proto/hash.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";

/** A resource as it is cached and sent. */
export interface CompiledResource {
  readonly id: ResourceId;
  /** The name that the id was derived from; two names with one id: the smaller wins, the other is refused. */
  readonly name: string;
  /** The encoded `Resource`, exactly what agents receive and hash. */
  readonly bytes: Uint8Array;
  readonly hash: Hash64;
  readonly value:
    | { readonly kind: "service"; readonly service: Service }
    | { readonly kind: "backend"; readonly backend: Backend }
    | { readonly kind: "name"; readonly name: Name };
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
