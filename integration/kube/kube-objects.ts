/** API objects for tests: nodes, services and their slices, as controllers of Kubernetes make them. */
import { nodeAddresses, podAddresses } from "../lab/address-plan.ts";
import type { ApiObject } from "./api-client.ts";

export const namespace = "shop";

export const namespaceObject: ApiObject = { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } };

/** `number`: from 1. */
export function nodeName(number: number): string {
  return `node-${number}`;
}

/** Odd nodes are in zone-a, even ones in zone-b. */
export function nodeObject(number: number): ApiObject {
  const { v4, v6 } = nodeAddresses(number);
  const name = nodeName(number);
  const zone = number % 2 === 1 ? "zone-a" : "zone-b";
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name } },
    status: { addresses: [v4, v6].map((address) => ({ type: "InternalIP", address })) },
  };
}

/** A service of both families with a TCP port 80 and a UDP port 53; the API gives it its ClusterIPs. */
export function serviceObject(name: string, type: "ClusterIP" | "NodePort" = "ClusterIP"): ApiObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: {
      type,
      ipFamilyPolicy: "RequireDualStack",
      ports: [
        { name: "http", port: 80, targetPort: 8080, protocol: "TCP" },
        { name: "dns", port: 53, targetPort: 5353, protocol: "UDP" },
      ],
    },
  };
}

/** The `part`-th slice of a service: an endpoint for each slot, spread over the nodes. */
export function sliceObject(service: string, slots: readonly number[], part = 0, nodes = 3): ApiObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${service}-${part}`, namespace, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    ports: [
      { name: "http", port: 8080, protocol: "TCP" },
      { name: "dns", port: 5353, protocol: "UDP" },
    ],
    endpoints: endpointsOf(slots, nodes),
  };
}

export function endpointsOf(slots: readonly number[], nodes = 3): readonly unknown[] {
  return slots.map((slot) => {
    const node = 1 + (slot % nodes);
    return {
      addresses: [podAddresses(node, slot).v4],
      nodeName: nodeName(node),
      conditions: { ready: true, serving: true, terminating: false },
    };
  });
}

/** The object as it may be created again elsewhere: without what an API server gave it for itself. */
export function withoutHistory(object: ApiObject): ApiObject {
  const { name, namespace: of, labels } = object.metadata;
  return {
    ...object,
    metadata: { name, ...(of === undefined ? {} : { namespace: of }), ...(labels === undefined ? {} : { labels }) },
  };
}
