/** Which calls are compared, and what is called. Pure. */
import { clusterIp, clusterOf, serviceObject, sliceObject, targetPort } from "../cluster.ts";
import type { ApiObject, IpFamily } from "../cluster.ts";
import { proxiedService } from "../peers/proxied-cluster.ts";
import type { ProxiedService } from "../peers/proxied-service.ts";

export type CallProtocol = "tcp" | "udp";

export interface Call {
  readonly protocol: CallProtocol;
  readonly family: IpFamily;
}

export const sizes = [100, 1_000, 10_000] as const;
export type Size = (typeof sizes)[number];

const tcpCalls: readonly Call[] = [
  { protocol: "tcp", family: "IPv4" },
  { protocol: "tcp", family: "IPv6" },
];
const allCalls: readonly Call[] = [
  ...tcpCalls,
  { protocol: "udp", family: "IPv4" },
  { protocol: "udp", family: "IPv6" },
];

/** UDP is measured with the most services only. */
export function callsAt(size: Size): readonly Call[] {
  return size === sizes.at(-1) ? allCalls : tcpCalls;
}

/** Pods that are called, on each node. */
export const podsPerNode = 4;
const calledPerSize = 16;
/** Behind the first service, which a size of 100 has too. */
const udpServicePort = 53;

/** Address of a pod, by family. */
export type PodAddresses = Readonly<Record<IpFamily, string>>;

/** Services that are called while there are so many: evenly over all of them, because the rules of iptables are a list. */
export function calledServices(size: Size): readonly number[] {
  return Array.from({ length: calledPerSize }, (_, i) => Math.floor(((i + 0.5) * size) / calledPerSize));
}

const called: ReadonlySet<number> = new Set(sizes.flatMap(calledServices));
/** A service that nobody calls has one endpoint: the time to load rules grows with the square of the services that have more. */
const others = clusterOf(10_000, 1, { families: ["IPv4", "IPv6"] });

/** A service and its slices: those that are called lead to `pods`. */
export function objectsOf(service: number, pods: readonly PodAddresses[]): readonly ApiObject[] {
  const object = serviceObject(others, service);
  const slices = others.families.map((_, slice) => sliceObject(others, service, slice));
  if (!called.has(service)) return [object, ...slices];
  return [
    { ...object, spec: { ...(object["spec"] as object), ports: servicePorts } },
    ...slices.map((slice, i) => ({
      ...slice,
      ports: slicePorts,
      endpoints: pods.map((pod) => ({
        addresses: [pod[others.families[i] ?? "IPv4"]],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: "node-1",
      })),
    })),
  ];
}

const servicePorts = [
  { name: "http", protocol: "TCP", port: 80, targetPort },
  { name: "dns", protocol: "UDP", port: udpServicePort, targetPort },
];
const slicePorts = [
  { name: "http", protocol: "TCP", port: targetPort },
  { name: "dns", protocol: "UDP", port: targetPort },
];

/** The first `size` services as rules: those that are called lead to `pods`. */
export function proxiedServices(
  size: Size,
  family: IpFamily,
  pods: readonly PodAddresses[],
): readonly ProxiedService[] {
  const endpoints = pods.map((pod) => ({ address: pod[family], port: targetPort }));
  return Array.from({ length: size }, (_, service) => service).flatMap((service) => {
    const proxied = proxiedService(others, service, family === "IPv4" ? 4 : 6);
    if (!called.has(service)) return [proxied];
    const http = { ...proxied, endpoints };
    return [http, { ...http, portName: "dns", protocol: "udp" as const, port: udpServicePort }];
  });
}

/** "ADDRESS PORT …" of the services that are called. */
export function serviceTargets(size: Size, { protocol, family }: Call): string {
  const port = protocol === "tcp" ? 80 : udpServicePort;
  return calledServices(size)
    .map((service) => `${clusterIp(service, family)} ${port}`)
    .join(" ");
}

/** "ADDRESS PORT …" of the pods themselves. */
export function podTargets(pods: readonly PodAddresses[], { family }: Call): string {
  return pods.map((pod) => `${pod[family]} ${targetPort}`).join(" ");
}
