/** For tests: resources without Kubernetes objects behind them. `version` changes the bytes and nothing else. */
import { create } from "@bufbuild/protobuf";
import {
  BackendSchema,
  NameSchema,
  ResourceSchema,
  ServiceSchema,
} from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { resourceId } from "@weft/proto/ids.ts";
import { NamedResource } from "./packed-resource.ts";
import type { CompiledChanges, CompiledResource } from "./resource.ts";

/** `id`: another one than that of its name, as a collision makes it. */
export function madeService(name: string, version = 0, id = resourceId("service", name)): CompiledResource {
  const service = create(ServiceSchema, { name, affinitySeconds: version });
  return new NamedResource(name, create(ResourceSchema, { id, kind: { case: "service", value: service } }));
}

/** `last`: last byte of its address. */
export function madeBackend(service: string, last: number, version = 0): CompiledResource {
  const name = `${service}\0${last}`;
  const backend = create(BackendSchema, {
    service: resourceId("service", service),
    address: Uint8Array.of(10, 0, version, last),
  });
  const id = resourceId("backend", name);
  return new NamedResource(name, create(ResourceSchema, { id, kind: { case: "backend", value: backend } }));
}

export function madeName(value: string): CompiledResource {
  const name = create(NameSchema, { value });
  const id = resourceId("name", value);
  return new NamedResource(value, create(ResourceSchema, { id, kind: { case: "name", value: name } }));
}

export function changesOf(
  puts: readonly CompiledResource[],
  removals: readonly CompiledResource[] = [],
): CompiledChanges {
  return { puts, removals: removals.map(({ id }) => id) };
}
