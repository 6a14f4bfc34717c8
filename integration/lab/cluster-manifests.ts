/**
 * Writes and edits manifests in a folder that a control plane watches. Each call is one write and one rename, so a reader sees
 * the file before or after, and one call is one revision.
 */
import fs from "node:fs";
import path from "node:path";
import { parseAllDocuments, stringify } from "yaml";
import type { AddressPair } from "./address-plan.ts";
import { nodeAddresses, serviceCidrs } from "./address-plan.ts";

/** An API object as YAML gives it. */
export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export interface ServicePortSpec {
  /** "": the only port of its service. */
  readonly name: string;
  readonly protocol: "TCP" | "UDP";
  readonly port: number;
  /** Number in the slices. */
  readonly targetPort: number;
  /** On every port or on none; absent: the service is of type ClusterIP. */
  readonly nodePort?: number;
}

export interface ServiceSpec {
  readonly namespace: string;
  readonly name: string;
  readonly clusterIps: readonly string[];
  /** Absent: none. */
  readonly externalIps?: readonly string[];
  readonly ports: readonly ServicePortSpec[];
  readonly endpoints: readonly EndpointSpec[];
}

/** A pod as an endpoint of a service, in the slices of both families. */
export interface EndpointSpec {
  readonly pod: string;
  readonly node: string;
  readonly addresses: AddressPair;
  /** Absent: true. */
  readonly isReady?: boolean;
  /** Serving, but to be chosen only if nothing is ready. */
  readonly isTerminating?: boolean;
}

export class ClusterManifests {
  readonly folder: string;
  #writes = 0;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Node objects and the service CIDRs, in `nodes.yaml`. */
  writeNodes(nodes: readonly { readonly name: string; readonly number: number; readonly zone: string }[]): void {
    this.write("nodes.yaml", [...nodes.map(nodeObject), serviceCidrObject]);
  }

  /** A service with its slices; in a file of its own, unless several services are to change at once. */
  writeServices(file: string, services: readonly ServiceSpec[]): void {
    this.write(file, services.flatMap(serviceObjects));
  }

  write(file: string, objects: readonly ApiObject[]): void {
    this.writeText(file, objects.map((object) => stringify(object, { flowCollectionPadding: true })).join("---\n"));
  }

  writeText(file: string, text: string): void {
    const target = path.join(this.folder, file);
    fs.mkdirSync(path.dirname(target), { recursive: true });
    // Hidden, so that the half-written file is no manifest.
    const fresh = path.join(path.dirname(target), `.${path.basename(target)}.${process.pid}.${this.#writes++}`);
    fs.writeFileSync(fresh, text);
    fs.renameSync(fresh, target);
  }

  remove(file: string): void {
    fs.rmSync(path.join(this.folder, file), { force: true });
  }

  read(file: string): readonly ApiObject[] {
    const text = fs.readFileSync(path.join(this.folder, file), "utf8");
    return parseAllDocuments(text).map((document) => document.toJS() as ApiObject);
  }

  /** Names of the pods that are endpoints of the service, in any condition. */
  endpointsOf(file: string, service: string): readonly string[] {
    const names = this.read(file)
      .filter((object) => isSliceOf(object, service))
      .flatMap((slice) => endpointsIn(slice).map((endpoint) => endpoint.targetRef?.name ?? ""));
    return [...new Set(names)];
  }

  /** Removes endpoints and adds others, in one edit. One that is there already is replaced. */
  changeEndpoints(
    file: string,
    service: string,
    change: { readonly remove?: readonly string[]; readonly add?: readonly EndpointSpec[] },
  ): void {
    const added = change.add ?? [];
    const gone = new Set([...(change.remove ?? []), ...added.map((endpoint) => endpoint.pod)]);
    const objects = this.read(file).map((object) => {
      if (!isSliceOf(object, service)) return object;
      const kept = endpointsIn(object).filter((endpoint) => !gone.has(endpoint.targetRef?.name ?? ""));
      const isIPv6 = object["addressType"] === "IPv6";
      return { ...object, endpoints: [...kept, ...added.map((endpoint) => endpointObject(endpoint, isIPv6))] };
    });
    this.write(file, objects);
  }
}

interface EndpointObject {
  readonly addresses: readonly string[];
  readonly targetRef?: { readonly kind: string; readonly name: string };
  readonly [field: string]: unknown;
}

const serviceCidrObject: ApiObject = {
  apiVersion: "networking.k8s.io/v1",
  kind: "ServiceCIDR",
  metadata: { name: "kubernetes" },
  spec: { cidrs: [...serviceCidrs] },
};

function nodeObject(node: { readonly name: string; readonly number: number; readonly zone: string }): ApiObject {
  const { v4, v6 } = nodeAddresses(node.number);
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: node.name,
      ...(node.zone === "" ? {} : { labels: { "topology.kubernetes.io/zone": node.zone } }),
    },
    status: {
      addresses: [
        { type: "InternalIP", address: v4 },
        { type: "InternalIP", address: v6 },
      ],
    },
  };
}

function serviceObjects(service: ServiceSpec): ApiObject[] {
  const { namespace, name, clusterIps, ports } = service;
  const families = clusterIps.map((address) => (address.includes(":") ? "IPv6" : "IPv4"));
  const named = (port: ServicePortSpec): { name?: string } => (port.name === "" ? {} : { name: port.name });
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace },
      spec: {
        type: ports.some((port) => port.nodePort !== undefined) ? "NodePort" : "ClusterIP",
        clusterIP: clusterIps[0],
        clusterIPs: [...clusterIps],
        ...(service.externalIps === undefined ? {} : { externalIPs: [...service.externalIps] }),
        ipFamilies: families,
        ports: ports.map((port) => ({
          ...named(port),
          protocol: port.protocol,
          port: port.port,
          targetPort: port.targetPort,
          ...(port.nodePort === undefined ? {} : { nodePort: port.nodePort }),
        })),
      },
    },
    ...families.map((family) => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-${family.toLowerCase()}`, namespace, labels: { "kubernetes.io/service-name": name } },
      addressType: family,
      ports: ports.map((port) => ({ name: port.name, protocol: port.protocol, port: port.targetPort })),
      endpoints: service.endpoints.map((endpoint) => endpointObject(endpoint, family === "IPv6")),
    })),
  ];
}

function endpointObject(endpoint: EndpointSpec, isIPv6: boolean): EndpointObject {
  const isTerminating = endpoint.isTerminating ?? false;
  const isReady = (endpoint.isReady ?? true) && !isTerminating;
  return {
    addresses: [isIPv6 ? endpoint.addresses.v6 : endpoint.addresses.v4],
    conditions: { ready: isReady, serving: isReady || isTerminating, terminating: isTerminating },
    nodeName: endpoint.node,
    targetRef: { kind: "Pod", name: endpoint.pod },
  };
}

function isSliceOf(object: ApiObject, service: string): boolean {
  const { namespace = "default", labels } = object.metadata;
  return object.kind === "EndpointSlice" && `${namespace}/${labels?.["kubernetes.io/service-name"] ?? ""}` === service;
}

function endpointsIn(slice: ApiObject): readonly EndpointObject[] {
  return (slice["endpoints"] ?? []) as readonly EndpointObject[];
}
