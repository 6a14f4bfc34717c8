/** For tests: resources without Kubernetes objects behind them. `version` changes the bytes and nothing else. */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  BackendSchema,
  NameSchema,
  ResourceSchema,
  ServiceSchema,
} from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { hash64 } from "@weft/proto/hash.ts";
import { resourceId } from "@weft/proto/ids.ts";
import type { CompiledChanges, CompiledResource } from "./resource.ts";

export function madeService(name: string, version = 0): CompiledResource {
  const service = create(ServiceSchema, { name, affinitySeconds: version });
  const id = resourceId("service", name);
  const bytes = toBinary(ResourceSchema, create(ResourceSchema, { id, kind: { case: "service", value: service } }));
  return { id, name, bytes, hash: hash64(bytes), value: { kind: "service", service } };
}

/** `last`: last byte of its address. */
export function madeBackend(service: string, last: number, version = 0): CompiledResource {
  const name = `${service}\0${last}`;
  const backend = create(BackendSchema, {
    service: resourceId("service", service),
    address: Uint8Array.of(10, 0, version, last),
  });
  const id = resourceId("backend", name);
  const bytes = toBinary(ResourceSchema, create(ResourceSchema, { id, kind: { case: "backend", value: backend } }));
  return { id, name, bytes, hash: hash64(bytes), value: { kind: "backend", backend } };
}

export function madeName(value: string): CompiledResource {
  const name = create(NameSchema, { value });
  const id = resourceId("name", value);
  const bytes = toBinary(ResourceSchema, create(ResourceSchema, { id, kind: { case: "name", value: name } }));
  return { id, name: value, bytes, hash: hash64(bytes), value: { kind: "name", name } };
}

export function changesOf(
  puts: readonly CompiledResource[],
  removals: readonly CompiledResource[] = [],
): CompiledChanges {
  return { puts, removals: removals.map(({ id }) => id) };
}
