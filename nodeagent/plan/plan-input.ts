/** What planning reads: the resources of one service at a time, and the node. The agent's store implements `PlanInput`. */
import type { Address } from "@weft/proto/address.ts";
import type { Backend, Service, ServicePort } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { resourceId } from "@weft/proto/ids.ts";
import type { EndpointChoice } from "./choose-endpoints.ts";

/**
 * One service with all its backends, in any order. A Service is never changed in place: another version is another object.
 * Backends may be made while they are iterated; a plan of the service does so once.
 */
export interface ServiceView {
  readonly service: Service;
  readonly backends: Iterable<Backend>;
  /** A short way from `backends` to what the node with id `node` chooses from in IPv4. Absent, or undefined: there is none. */
  readonly plainEndpoints?: (port: ServicePort, node: bigint) => EndpointChoice | undefined;
}

export interface PlanInput {
  /** Undefined: there is no such service (any more). */
  serviceByName(name: string): ServiceView | undefined;
  /** Names of all services, in any order. */
  serviceNames(): Iterable<string>;
}

/** The node that is planned for. */
export interface PlanNode {
  /** Id of the Name resource of this node, as backends carry it. */
  readonly id: bigint;
  /** Id of the Name resource of this node's zone; 0: the node has no zone label. */
  readonly zone: bigint;
  /** InternalIPs, then ExternalIPs (S8); the first of a family is primary. */
  readonly addresses: readonly Address[];
  /** Where NodePorts are served (S8); 127.0.0.1 in the internal scope only. */
  readonly nodePortAddresses: readonly Address[];
  /** Assigned to devices in the node's network namespace, kube-ipvs0 excepted (S32). */
  readonly localAddresses: ReadonlySet<Address>;
  /** "pass": ClusterIPs among `localAddresses`, and those of services that ask for it, are passed in the internal scope (S32). */
  readonly localClusterIps: LocalClusterIps;
}

/** The switch --local-cluster-ips. */
export type LocalClusterIps = "pass" | "serve";

/** What a node is but for its name, its zone and its addresses. Absent: served on all its addresses, nothing local, "pass". */
export type PlanNodeOptions = Partial<Pick<PlanNode, "nodePortAddresses" | "localAddresses" | "localClusterIps">>;

/** `zone`: value of the zone label, "" for none. */
export function planNode(
  name: string,
  zone: string,
  addresses: readonly Address[],
  options: PlanNodeOptions = {},
): PlanNode {
  return {
    id: resourceId("name", name),
    zone: zone === "" ? 0n : resourceId("name", zone),
    addresses,
    nodePortAddresses: options.nodePortAddresses ?? addresses,
    localAddresses: options.localAddresses ?? noAddresses,
    localClusterIps: options.localClusterIps ?? "pass",
  };
}

const noAddresses: ReadonlySet<Address> = new Set();

/** A `PlanInput` over lists, for one plan of everything. Backends of a service that is not listed are left out. */
export function planInput(services: Iterable<Service>, backends: Iterable<Backend>): PlanInput {
  const views = new Map<string, { readonly service: Service; readonly backends: Backend[] }>();
  const viewById = new Map<bigint, { readonly backends: Backend[] }>();
  for (const service of services) {
    const view = { service, backends: [] };
    views.set(service.name, view);
    viewById.set(resourceId("service", service.name), view);
  }
  for (const backend of backends) viewById.get(backend.service)?.backends.push(backend);
  return { serviceByName: (name) => views.get(name), serviceNames: () => views.keys() };
}
