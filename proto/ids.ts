/**
 * Ids of resources: the first 8 bytes, big-endian, of SHA-256 over kind, NUL, name. A fast hash would let a tenant collide
 * with another's service on purpose. The one pure file that may use `node:crypto` (1.3 us an id).
 */
import { hash } from "node:crypto";
import type { Protocol } from "./gen/weft/discovery/v1/resource_pb.ts";

/** 64 bits, unsigned, never 0. */
export type ResourceId = bigint & { readonly brand: "ResourceId" };

export type ResourceKind = "service" | "backend" | "name";

/** Id of the resource of this kind and name. */
export function resourceId(kind: ResourceKind, name: string): ResourceId {
  return BigInt(`0x${hash("sha256", `${kind}\0${name}`).slice(0, 16)}`) as ResourceId;
}

/** @throws RangeError for 0 and for what is not 64 bits unsigned. */
export function receivedId(value: bigint): ResourceId {
  if (value <= 0n || value > 0xffff_ffff_ffff_ffffn) throw new RangeError(`not a resource id: ${value}`);
  return value as ResourceId;
}

export interface NamedPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly number: number;
}

/**
 * Resource name of a Backend; `ports` in their order on the wire. See resource.proto.
 * @param localCopyOf name of its node, if it is a local copy
 */
export function backendName(service: string, address: string, ports: readonly NamedPort[], localCopyOf = ""): string {
  const of = localCopyOf === "" ? [] : [`@${localCopyOf}`];
  return [service, address, ...ports.map((port) => `${port.protocol}/${port.number}/${port.name}`), ...of].join("\0");
}
