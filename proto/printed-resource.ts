/** Resources as people read them: "Service default/web", "Backend default/web 10.1.0.3", "Name zone-1". Pure. */
import { fromBinary } from "@bufbuild/protobuf";
import { addressFromBytes } from "./address.ts";
import { ResourceSchema } from "./gen/weft/discovery/v1/resource_pb.ts";
import type { ResourceId } from "./ids.ts";

/** Resources that one line names; the others are counted. */
export const resourceNamesMax = 16;

/** @param bytes Of an encoded `Resource`. @param serviceName Undefined: not known. */
export function printResource(bytes: Uint8Array, serviceName: (id: ResourceId) => string | undefined): string {
  const { id, kind } = fromBinary(ResourceSchema, bytes);
  switch (kind.case) {
    case "service":
      return `Service ${kind.value.name}`;
    case "backend": {
      const service = kind.value.service as ResourceId;
      return `Backend ${serviceName(service) ?? hex(service)} ${addressFromBytes(kind.value.address)}`;
    }
    case "name":
      return `Name ${kind.value.value}`;
    case undefined:
      return printUnknown(id as ResourceId);
  }
}

/** A resource of which only the id is known. */
export function printUnknown(id: ResourceId): string {
  return `resource ${hex(id)}`;
}

/** The first `resourceNamesMax` of `names`. @param count How many there are. */
export function printSome(names: Iterable<string>, count: number): string {
  const named: string[] = [];
  for (const name of names) {
    if (named.length === resourceNamesMax) break;
    named.push(name);
  }
  const what = `${count} ${count === 1 ? "resource" : "resources"}`;
  if (named.length === 0) return what;
  return `${what}: ${named.join(", ")}${count > named.length ? ` and ${count - named.length} more` : ""}`;
}

function hex(id: ResourceId): string {
  return id.toString(16).padStart(16, "0");
}
