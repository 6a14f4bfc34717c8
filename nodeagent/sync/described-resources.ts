/** Encoded resources from short descriptions, for tests. */
import { create, toBinary } from "@bufbuild/protobuf";
import { addressFromBytes } from "@weft/proto/address.ts";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Resource } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { backendName, resourceId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { describedBackend, describedService } from "../plan/described-cluster.ts";
import type { DescribedBackend, DescribedService } from "../plan/described-cluster.ts";

/** A resource as it travels. */
export interface EncodedResource {
  readonly id: ResourceId;
  readonly bytes: Uint8Array;
}

/** A TCP service on port 80 unless said otherwise. */
export function encodedService(
  of: Partial<DescribedService> & { readonly name: string; readonly clusterIps: readonly string[] },
): EncodedResource {
  const service = describedService({ ports: [{ port: 80 }], ...of });
  const id = resourceId("service", service.name);
  return encode(id, { case: "service", value: service });
}

/** Port 8080 unless said otherwise. */
export function encodedBackend(
  of: Partial<DescribedBackend> & { readonly service: string; readonly address: string },
): EncodedResource {
  const backend = describedBackend({ ports: [{ number: 8080 }], ...of });
  const id = resourceId("backend", backendName(of.service, addressFromBytes(backend.address), backend.ports));
  return encode(id, { case: "backend", value: backend });
}

export function encodedName(value: string): EncodedResource {
  return encode(resourceId("name", value), { case: "name", value: { $typeName: "weft.discovery.v1.Name", value } });
}

/** A resource of a kind that this version does not know, with 64-bit id `id`. */
export function encodedUnknown(id: bigint): EncodedResource {
  const known = toBinary(ResourceSchema, create(ResourceSchema, { id }));
  // Field 15, a string: a kind of a newer version.
  return { id: id as ResourceId, bytes: Uint8Array.from([...known, 0x7a, 3, 97, 98, 99]) };
}

function encode(id: ResourceId, kind: Resource["kind"]): EncodedResource {
  return { id, bytes: toBinary(ResourceSchema, create(ResourceSchema, { id, kind })) };
}
