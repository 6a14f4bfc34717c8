/** API objects of the bench: a cluster of services whose pods nobody asks, and some whose one ready pod moves about. Pure. */
import type { ApiObject, ObjectName } from "../../kube/api-client.ts";
import { clusterIp, clusterOf, serviceKey, serviceObject, sliceObject } from "../cluster.ts";
import type { ApiObject as MadeObject, ClusterShape } from "../cluster.ts";

export const endpointsPerService = 10;
/** The first service is the API's own: 10.96.0.1. */
export const firstService = 1;

/** Where backends listen that tell themselves apart. */
export interface Backends {
  readonly addresses: readonly string[];
  /** Node of all of them. */
  readonly node: string;
}

export function shapeOf(services: number, endpoints = endpointsPerService): ClusterShape {
  return clusterOf(services, endpoints, { nodes: 3 });
}

export function clusterIpOf(service: number): string {
  return clusterIp(service, "IPv4");
}

/** Namespaces of the services up to `last`, from that of `first`. */
export function namespaceObjects(first: number, last: number): readonly ApiObject[] {
  const names = Array.from({ length: last - first + 1 }, (_, i) => serviceKey(first + i).namespace);
  return [...new Set(names)].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }));
}

/** A service and its slice, as they are created. */
export function objectsOf(shape: ClusterShape, service: number): readonly ApiObject[] {
  return [creatable(serviceObject(shape, service)), creatable(sliceObject(shape, service, 0))];
}

export function sliceName(service: number): ObjectName {
  const { namespace, name } = serviceKey(service);
  return { kind: "EndpointSlice", metadata: { namespace, name: `${name}-0` } };
}

/** Merge patch: of the backends, the one with this number alone is ready. Every connection that sees it goes there. */
export function oneReady({ addresses, node }: Backends, ready: number): unknown {
  return {
    endpoints: addresses.map((address, number) => {
      const isReady = number === ready;
      return {
        addresses: [address],
        nodeName: node,
        conditions: { ready: isReady, serving: isReady, terminating: false },
      };
    }),
  };
}

/** Merge patch: the slice as it was made, but for its last endpoint, which is another pod after each change. */
export function lastReplaced(shape: ClusterShape, service: number, changes: number): unknown {
  return { endpoints: sliceObject(shape, service, 0, changes)["endpoints"] };
}

// An object that is created must not say what the API server gives it.
function creatable({ metadata, ...rest }: MadeObject): ApiObject {
  const { name, namespace, labels, ownerReferences } = metadata as ApiObject["metadata"] & {
    readonly ownerReferences?: unknown;
  };
  return {
    ...rest,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(ownerReferences === undefined ? {} : { ownerReferences }),
    },
  };
}
