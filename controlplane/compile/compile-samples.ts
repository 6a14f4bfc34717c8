/** Records for the tests of compile. */
import { parseAddress, parsePrefix } from "@weft/proto/address.ts";
import type { Address, Prefix } from "@weft/proto/address.ts";
import type {
  EndpointRecord,
  EndpointSliceRecord,
  NodeRecord,
  ServiceRecord,
  SlicePortRecord,
} from "../source/source.ts";

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new RangeError(`not an address: ${text}`);
  return parsed;
}

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new RangeError(`not a range: ${text}`);
  return parsed;
}

export function serviceRecord(name: string, fields: Partial<ServiceRecord> = {}): ServiceRecord {
  return {
    kind: "Service",
    name,
    type: "ClusterIP",
    ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 0 }],
    clusterIps: [address("172.30.0.1")],
    externalIps: [],
    loadBalancerIps: [],
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
    affinitySeconds: 0,
    loadBalancerSourceRanges: [],
    healthCheckNodePort: 0,
    isNodeLocalPass: false,
    ...fields,
  };
}

export function endpointRecord(text: string, fields: Partial<EndpointRecord> = {}): EndpointRecord {
  return {
    address: address(text),
    isReady: true,
    isServing: true,
    isTerminating: false,
    nodeName: "",
    zone: "",
    zoneHints: [],
    nodeHints: [],
    ...fields,
  };
}

export function sliceRecord(
  name: string,
  service: string,
  endpoints: readonly EndpointRecord[],
  ports: readonly SlicePortRecord[] = [{ name: "http", protocol: "TCP", number: 8080 }],
): EndpointSliceRecord {
  return { kind: "EndpointSlice", name, service, ports, endpoints };
}

export function nodeRecord(name: string, zone: string): NodeRecord {
  return { kind: "Node", name, zone, addresses: [] };
}
