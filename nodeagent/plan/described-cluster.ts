/** Services and backends from short descriptions, for tests. */
import { create } from "@bufbuild/protobuf";
import { addressBytes, parseAddress, parsePrefix, type Address } from "@weft/proto/address.ts";
import {
  BackendSchema,
  Protocol,
  ServiceSchema,
  ServiceType,
  type Backend,
  type Service,
} from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { resourceId } from "@weft/proto/ids.ts";
import type { ProtocolName } from "./frontend.ts";

export interface DescribedPort {
  readonly name?: string;
  readonly protocol?: ProtocolName;
  readonly port: number;
  readonly nodePort?: number;
}

export interface DescribedService {
  /** "ns/name". */
  readonly name: string;
  readonly clusterIps: readonly string[];
  readonly ports: readonly DescribedPort[];
  readonly externalIps?: readonly string[];
  readonly loadBalancerIps?: readonly string[];
  readonly externalLocal?: boolean;
  readonly internalLocal?: boolean;
  readonly affinitySeconds?: number;
  readonly sourceRanges?: readonly string[];
  readonly nodeLocalPass?: boolean;
  /** Makes it a LoadBalancer service. */
  readonly healthCheckNodePort?: number;
}

export interface DescribedBackend {
  /** "ns/name" of the service. */
  readonly service: string;
  readonly address: string;
  readonly ports: readonly { readonly name?: string; readonly protocol?: ProtocolName; readonly number: number }[];
  readonly node?: string;
  readonly zoneHints?: readonly string[];
  readonly nodeHints?: readonly string[];
  /** Ready unless said otherwise. */
  readonly state?: "ready" | "not-ready" | "terminating" | "terminated";
  /** Counts on `node` only, instead of the same endpoints of others (S21). */
  readonly localCopy?: boolean;
}

export function describedService(of: DescribedService): Service {
  const hasNodePort = of.ports.some(({ nodePort }) => nodePort !== undefined);
  return create(ServiceSchema, {
    name: of.name,
    type:
      of.healthCheckNodePort !== undefined
        ? ServiceType.LOAD_BALANCER
        : hasNodePort
          ? ServiceType.NODE_PORT
          : ServiceType.CLUSTER_IP,
    ports: of.ports.map(({ name = "", protocol = "TCP", port, nodePort = 0 }) => ({
      name,
      protocol: Protocol[protocol],
      port,
      nodePort,
    })),
    clusterIps: of.clusterIps.map(bytesOf),
    externalIps: (of.externalIps ?? []).map(bytesOf),
    loadBalancerIps: (of.loadBalancerIps ?? []).map(bytesOf),
    externalLocal: of.externalLocal ?? false,
    internalLocal: of.internalLocal ?? false,
    affinitySeconds: of.affinitySeconds ?? 0,
    nodeLocalPass: of.nodeLocalPass ?? false,
    healthCheckNodePort: of.healthCheckNodePort ?? 0,
    loadBalancerSourceRanges: (of.sourceRanges ?? []).map((text) => {
      const prefix = parsePrefix(text);
      if (prefix === undefined) throw new RangeError(`not a range: ${text}`);
      return { address: addressBytes(prefix.address), length: prefix.length };
    }),
  });
}

export function describedBackend(of: DescribedBackend): Backend {
  const state = of.state ?? "ready";
  return create(BackendSchema, {
    service: resourceId("service", of.service),
    address: bytesOf(of.address),
    ports: of.ports.map(({ name = "", protocol = "TCP", number }) => ({ name, protocol: Protocol[protocol], number })),
    node: of.node === undefined ? 0n : resourceId("name", of.node),
    zoneHints: (of.zoneHints ?? []).map((zone) => resourceId("name", zone)),
    nodeHints: (of.nodeHints ?? []).map((node) => resourceId("name", node)),
    notReady: state !== "ready",
    notServing: state === "not-ready" || state === "terminated",
    terminating: state === "terminating" || state === "terminated",
    localCopy: of.localCopy ?? false,
  });
}

export function describedAddress(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new RangeError(`not an address: ${text}`);
  return address;
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(addressBytes(describedAddress(text)));
}
