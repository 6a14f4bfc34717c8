/**
 * A cluster of any size as API objects, made when they are asked for and the same at every call: nothing is kept. Pure.
 *
 * ```
 * services   10.96.0.0/12    fd00:96::/96     one a service, of each family
 * pods       10.128.0.0/9    fd00:128::/96    one an endpoint
 * replaced   10.112.0.0/12   fd00:112::/96    the last endpoint of a service, another one with each change
 * ```
 */

/** As the API gives it. */
export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

export type IpFamily = "IPv4" | "IPv6";

export interface ClusterShape {
  readonly services: number;
  /** Of each service, in every family. */
  readonly endpoints: number;
  readonly families: readonly IpFamily[];
  readonly nodes: number;
}

/** One family, 100 nodes. */
export function clusterOf(services: number, endpoints: number, shape: Partial<ClusterShape> = {}): ClusterShape {
  return { services, endpoints, families: ["IPv4"], nodes: 100, ...shape };
}

/** The API's default; the controller makes as few slices as it can. */
export const sliceEndpointsMax = 100;
export const zones = 3;
export const servicesPerNamespace = 100;
export const servicePort = 80;
export const targetPort = 8_080;

/** `service`: from 0. */
export function serviceKey(service: number): { readonly namespace: string; readonly name: string } {
  return { namespace: `team-${Math.floor(service / servicesPerNamespace)}`, name: `service-${service}` };
}

/** As `weft` prints it: "namespace/name:port". */
export function servicePortName(service: number): string {
  const { namespace, name } = serviceKey(service);
  return `${namespace}/${name}:http`;
}

/** `node`: from 0. */
export function nodeName(node: number): string {
  return `node-${node}`;
}

export function clusterIp(service: number, family: IpFamily): string {
  return family === "IPv4" ? ipv4(96, service + 1) : ipv6("fd00:96::", service + 1);
}

/** @param changes how often the last endpoint of this service was replaced. */
export function podIp(
  { endpoints }: ClusterShape,
  service: number,
  endpoint: number,
  family: IpFamily,
  changes = 0,
): string {
  if (changes > 0 && endpoint === endpoints - 1) {
    const number = 1 + ((service * 64 + changes) % 0xf_fffe);
    return family === "IPv4" ? ipv4(112, number) : ipv6("fd00:112::", number);
  }
  const number = service * endpoints + endpoint + 1;
  return family === "IPv4" ? ipv4(128, number) : ipv6("fd00:128::", number);
}

export function serviceObject({ families }: ClusterShape, service: number, version = "1"): ApiObject {
  const { namespace, name } = serviceKey(service);
  const clusterIPs = families.map((family) => clusterIp(service, family));
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { ...metadata(namespace, name, service, version), labels: { app: name } },
    spec: {
      ports: [{ name: "http", protocol: "TCP", port: servicePort, targetPort }],
      selector: { app: name },
      clusterIP: clusterIPs[0],
      clusterIPs,
      type: "ClusterIP",
      sessionAffinity: "None",
      ipFamilies: families,
      ipFamilyPolicy: families.length > 1 ? "RequireDualStack" : "SingleStack",
      internalTrafficPolicy: "Cluster",
    },
    status: { loadBalancer: {} },
  };
}

/** How many slices a service has. */
export function slicesOf({ endpoints, families }: ClusterShape): number {
  return families.length * Math.max(1, Math.ceil(endpoints / sliceEndpointsMax));
}

/** `slice`: from 0 to `slicesOf(shape)`, those of the first family first. */
export function sliceObject(
  shape: ClusterShape,
  service: number,
  slice: number,
  changes = 0,
  version = "1",
): ApiObject {
  const ofFamily = slicesOf(shape) / shape.families.length;
  const family = shape.families[Math.floor(slice / ofFamily)] ?? "IPv4";
  const from = (slice % ofFamily) * sliceEndpointsMax;
  const to = Math.min(shape.endpoints, from + sliceEndpointsMax);
  const { namespace, name } = serviceKey(service);
  const labels = {
    "kubernetes.io/service-name": name,
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    app: name,
  };
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      ...metadata(namespace, `${name}-${slice}`, service * slicesOf(shape) + slice, version),
      generateName: `${name}-`,
      labels,
      ownerReferences: [
        { apiVersion: "v1", kind: "Service", name, uid: uid(service), controller: true, blockOwnerDeletion: true },
      ],
    },
    addressType: family,
    endpoints: Array.from({ length: to - from }, (_, i) => endpointObject(shape, service, from + i, family, changes)),
    ports: [{ name: "http", port: targetPort, protocol: "TCP" }],
  };
}

/** The last slice of the first family: the one that `changes` changes. */
export function changingSlice({ endpoints }: ClusterShape): number {
  return Math.max(1, Math.ceil(endpoints / sliceEndpointsMax)) - 1;
}

export function nodeObject(node: number, version = "1"): ApiObject {
  const name = nodeName(node);
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      uid: uid(node),
      resourceVersion: version,
      labels: { "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zoneName(node) },
    },
    status: { addresses: [{ type: "InternalIP", address: ipv4(80, node + 1) }] },
  };
}

/** All of it, service by service: for folders of manifests. */
export function* clusterObjects(shape: ClusterShape): Generator<ApiObject> {
  for (let node = 0; node < shape.nodes; node++) yield nodeObject(node);
  for (let service = 0; service < shape.services; service++) {
    yield serviceObject(shape, service);
    for (let slice = 0; slice < slicesOf(shape); slice++) yield sliceObject(shape, service, slice);
  }
}

function endpointObject(
  shape: ClusterShape,
  service: number,
  endpoint: number,
  family: IpFamily,
  changes: number,
): Readonly<Record<string, unknown>> {
  const { namespace, name } = serviceKey(service);
  const node = (service * 7 + endpoint) % shape.nodes;
  const zone = zoneName(node);
  const generation = endpoint === shape.endpoints - 1 ? changes : 0;
  return {
    addresses: [podIp(shape, service, endpoint, family, changes)],
    conditions: { ready: true, serving: true, terminating: false },
    targetRef: {
      kind: "Pod",
      namespace,
      name: `${name}-${generation}-${endpoint}`,
      uid: uid(service * shape.endpoints + endpoint),
    },
    nodeName: nodeName(node),
    zone,
  };
}

function metadata(
  namespace: string,
  name: string,
  number: number,
  resourceVersion: string,
): Readonly<Record<string, unknown>> {
  return { name, namespace, uid: uid(number), resourceVersion, creationTimestamp: "2026-11-23T08:00:00Z" };
}

function zoneName(node: number): string {
  return `zone-${"abc"[node % zones]}`;
}

function uid(number: number): string {
  return `5f0c1d2e-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
}

// Behind 10.FIRST.0.0; carries into the second byte.
function ipv4(first: number, number: number): string {
  return `10.${first + (number >> 16)}.${(number >> 8) & 0xff}.${number & 0xff}`;
}

function ipv6(prefix: string, number: number): string {
  return number > 0xffff
    ? `${prefix}${(number >>> 16).toString(16)}:${(number & 0xffff).toString(16)}`
    : `${prefix}${number.toString(16)}`;
}
