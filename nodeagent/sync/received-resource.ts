/**
 * Reads one part of a delta into values that can be committed. Nothing is half-applied: a part with one malformed resource
 * is malformed as a whole, which ends the stream (SPEC I9). What a newer control plane may send (unknown kinds, fields,
 * protocols) is not malformed.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { ResourceSchema } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Backend, Prefix, Resource, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { receivedId } from "@weft/proto/ids.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { triggerTimesMax } from "@weft/proto/trigger-times.ts";
import type { TriggerTimes } from "@weft/proto/trigger-times.ts";
import { keepBytes } from "./kept-bytes.ts";
import type { KeptBytes } from "./kept-bytes.ts";
import { plainBackend } from "./plain-backend.ts";

/** What the store keeps of a resource: its bytes as received, and what it is indexed by. */
export type HeldResource =
  | { readonly kind: "service"; readonly bytes: KeptBytes; readonly name: string }
  | { readonly kind: "backend"; readonly bytes: KeptBytes; readonly service: ResourceId }
  /** Interned names, and kinds newer than this agent: in the digest, otherwise ignored. */
  | { readonly kind: "name" | "unknown"; readonly bytes: KeptBytes };

export interface ReceivedPart {
  readonly removed: readonly ResourceId[];
  readonly puts: ReadonlyMap<ResourceId, HeldResource>;
  /** Absent: none were told. */
  readonly triggers?: TriggerTimes;
}

export type PartReading =
  | { readonly kind: "part"; readonly part: ReceivedPart }
  | { readonly kind: "malformed"; readonly reason: string };

/** What a part of a delta carries. */
export interface PartMessage {
  readonly removed: readonly bigint[];
  readonly resources: readonly Uint8Array[];
  readonly ipv4TriggerTimesMs?: readonly bigint[];
  readonly ipv6TriggerTimesMs?: readonly bigint[];
}

/** Reads what a part of a `Delta` carries. */
export function readPart(delta: PartMessage): PartReading {
  const puts = new Map<ResourceId, HeldResource>();
  try {
    const removed = delta.removed.map((id) => receivedId(id));
    for (const [i, bytes] of delta.resources.entries()) {
      const reading = readResource(bytes);
      if (reading.kind === "malformed")
        return { kind: "malformed", reason: `resource ${i} of the part: ${reading.reason}` };
      puts.set(reading.id, reading.resource);
    }
    return { kind: "part", part: { removed, puts, triggers: readTriggers(delta) } };
  } catch (error) {
    return { kind: "malformed", reason: `removed ids: ${String(error)}` };
  }
}

function readTriggers({ ipv4TriggerTimesMs: ipv4 = [], ipv6TriggerTimesMs: ipv6 = [] }: PartMessage): TriggerTimes {
  return { ipv4: ipv4.slice(0, triggerTimesMax).map(Number), ipv6: ipv6.slice(0, triggerTimesMax).map(Number) };
}

export type ResourceReading =
  | { readonly kind: "resource"; readonly id: ResourceId; readonly resource: HeldResource }
  | { readonly kind: "malformed"; readonly reason: string };

/** Reads one encoded `Resource`. */
export function readResource(bytes: Uint8Array): ResourceReading {
  const plain = plainBackend(bytes);
  if (plain !== undefined && plain.id !== 0n) {
    return readBackend(receivedId(plain.id), plain.backend, bytes);
  }
  let decoded: Resource;
  let id: ResourceId;
  try {
    decoded = fromBinary(ResourceSchema, bytes);
    id = receivedId(decoded.id);
  } catch (error) {
    return { kind: "malformed", reason: String(error) };
  }
  const kept = keepBytes(bytes);
  switch (decoded.kind.case) {
    case "service": {
      const wrong = serviceFault(decoded.kind.value);
      if (wrong !== undefined) return { kind: "malformed", reason: `Service "${decoded.kind.value.name}": ${wrong}` };
      return { kind: "resource", id, resource: { kind: "service", bytes: kept, name: decoded.kind.value.name } };
    }
    case "backend":
      return readBackend(id, decoded.kind.value, bytes);
    case "name":
      return { kind: "resource", id, resource: { kind: "name", bytes: kept } };
    case undefined:
      return { kind: "resource", id, resource: { kind: "unknown", bytes: kept } };
  }
}

function readBackend(id: ResourceId, backend: Backend, bytes: Uint8Array): ResourceReading {
  const wrong = backendFault(backend);
  if (wrong !== undefined) return { kind: "malformed", reason: `Backend ${id.toString(16)}: ${wrong}` };
  const resource = { kind: "backend", bytes: keepBytes(bytes), service: receivedId(backend.service) } as const;
  return { kind: "resource", id, resource };
}

function serviceFault(service: Service): string | undefined {
  if (service.name === "") return "no name";
  for (const field of ["clusterIps", "externalIps", "loadBalancerIps"] as const) {
    if (!service[field].every((address) => isAddress(address))) return `${field}: an address has 4 or 16 bytes`;
  }
  if (!service.loadBalancerSourceRanges.every((range) => isPrefix(range)))
    return "loadBalancerSourceRanges: not a range";
  for (const port of service.ports) {
    if (!isPort(port.port)) return `ports: ${port.port} is no port`;
    if (port.nodePort !== 0 && !isPort(port.nodePort)) return `ports: ${port.nodePort} is no node port`;
  }
  return undefined;
}

function backendFault(backend: Backend): string | undefined {
  if (backend.service === 0n) return "no service";
  if (!isAddress(backend.address)) return `an address has 4 or 16 bytes, not ${backend.address.length}`;
  const wrong = backend.ports.find((port) => !isPort(port.number));
  return wrong === undefined ? undefined : `ports: ${wrong.number} is no port`;
}

function isAddress(bytes: Uint8Array): boolean {
  return bytes.length === 4 || bytes.length === 16;
}

function isPort(number: number): boolean {
  return number >= 1 && number <= 65_535;
}

/** True if the length fits the family. */
export function isPrefix(range: Prefix): boolean {
  return isAddress(range.address) && range.length <= range.address.length * 8;
}
