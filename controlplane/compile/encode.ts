/** Records -> resources. Their bytes are a pure function of the API objects: all lists are sorted. Backends: encode-backend.ts. */
import { create } from "@bufbuild/protobuf";
import { addressBytes, compareBytes, compareText, familyOf } from "@weft/proto/address.ts";
import type { Address, Family, Prefix } from "@weft/proto/address.ts";
import { Protocol, ResourceSchema, ServiceType } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { backendName } from "@weft/proto/ids.ts";
import type { ResourceId, ResourceKind } from "@weft/proto/ids.ts";
import { NamedResource } from "../catalog/packed-resource.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import type { ServicePortRecord, ServiceRecord } from "../source/source.ts";
import { protocolNumbers } from "./merge-endpoints.ts";
import type { EndpointGroup } from "./merge-endpoints.ts";

export type DeriveId = (kind: ResourceKind, name: string) => ResourceId;

const types = {
  ClusterIP: ServiceType.CLUSTER_IP,
  NodePort: ServiceType.NODE_PORT,
  LoadBalancer: ServiceType.LOAD_BALANCER,
} as const;

const protocols = { TCP: Protocol.TCP, UDP: Protocol.UDP, SCTP: Protocol.SCTP } as const;

export function familiesOf(service: ServiceRecord): ReadonlySet<Family> {
  return new Set(service.clusterIps.map(familyOf));
}

export function encodeService(record: ServiceRecord, deriveId: DeriveId): CompiledResource {
  const families = familiesOf(record);
  const served = (addresses: readonly Address[]): Address[] =>
    addresses.filter((address) => families.has(familyOf(address)));
  const loadBalancerIps = served(record.loadBalancerIps);
  // An address that is both is one frontend, of the load balancer (S17).
  const externalIps = served(record.externalIps).filter((address) => !loadBalancerIps.includes(address));
  const message = create(ResourceSchema, {
    id: deriveId("service", record.name),
    kind: {
      case: "service",
      value: {
        name: record.name,
        ports: record.ports.toSorted(compareServicePorts).map((port) => ({
          name: port.name,
          protocol: protocols[port.protocol],
          port: port.port,
          nodePort: port.nodePort,
        })),
        type: types[record.type],
        clusterIps: sortedBytes(record.clusterIps),
        externalIps: sortedBytes(externalIps),
        loadBalancerIps: sortedBytes(loadBalancerIps),
        externalLocal: record.externalTrafficPolicy === "Local" && isReachedFromOutside(record),
        internalLocal: record.internalTrafficPolicy === "Local",
        affinitySeconds: record.affinitySeconds,
        loadBalancerSourceRanges: sortedPrefixes(record.loadBalancerSourceRanges),
        healthCheckNodePort: record.healthCheckNodePort,
        nodeLocalPass: record.isNodeLocalPass,
      },
    },
  });
  return new NamedResource(record.name, message);
}

export function nameOfBackend(service: string, group: EndpointGroup): string {
  const ports = group.ports.map((port) => ({
    name: port.name,
    protocol: protocols[port.protocol],
    number: port.number,
  }));
  return backendName(service, group.address, ports, group.isLocalCopy ? group.endpoint.nodeName : "");
}

export function encodeName(value: string, deriveId: DeriveId): CompiledResource {
  const message = create(ResourceSchema, { id: deriveId("name", value), kind: { case: "name", value: { value } } });
  return new NamedResource(value, message);
}

// S13. Not asked of the load-balancer addresses: only a type that has NodePorts, or external IPs, makes the policy count.
function isReachedFromOutside(record: ServiceRecord): boolean {
  return record.type !== "ClusterIP" || record.externalIps.length > 0;
}

function compareServicePorts(a: ServicePortRecord, b: ServicePortRecord): number {
  return compareText(a.name, b.name) || protocolNumbers[a.protocol] - protocolNumbers[b.protocol] || a.port - b.port;
}

function sortedBytes(addresses: readonly Address[]): Uint8Array[] {
  return [...new Set(addresses)].map(addressBytes).toSorted(compareBytes);
}

function sortedPrefixes(prefixes: readonly Prefix[]): { address: Uint8Array; length: number }[] {
  const unique = new Map(prefixes.map((prefix) => [`${prefix.address}/${prefix.length}`, prefix]));
  return [...unique.values()]
    .map((prefix) => ({ address: prefixBytes(prefix), length: prefix.length }))
    .toSorted((a, b) => compareBytes(a.address, b.address) || a.length - b.length);
}

function prefixBytes(prefix: Prefix): Uint8Array {
  return addressBytes(prefix.address);
}
