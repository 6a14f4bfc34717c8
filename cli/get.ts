/** `weft get services|backends`: what nodes are given. */
import { addressFromBytes, compareText } from "@weft/proto/address.ts";
import type { Backend, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { ServiceType } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { resourceId } from "@weft/proto/ids.ts";
import { exitCodes, type ExitCode } from "@weft/proto/program/exit.ts";
import { writeLines, writeOut } from "@weft/proto/program/stdout.ts";
import type { GetValues } from "./commands.ts";
import { FleetClient } from "./fleet-client.ts";
import { table } from "./output.ts";
import { printWirePrefix, printWireProtocol } from "./printed.ts";
import { readState, type State } from "./state.ts";

export async function runGetServices(values: GetValues, signal: AbortSignal): Promise<ExitCode> {
  using client = FleetClient.connect(values, signal);
  const { services, backends } = await readState(client, "");
  const counts = new Map<bigint, number>();
  for (const { service } of backends) counts.set(service, (counts.get(service) ?? 0) + 1);
  const lines = services
    .toSorted((a, b) => compareText(a.name, b.name))
    .map((service) => serviceLine(service, counts.get(resourceId("service", service.name)) ?? 0));
  if (values.output === "json") await writeLines(lines.map((line) => JSON.stringify(line)));
  else {
    const rows = lines.map((line) => [
      line.service,
      line.type,
      line.clusterIPs.join(","),
      [...line.externalIPs, ...line.loadBalancerIPs].join(",") || "-",
      line.ports
        .map(({ port, nodePort, protocol }) => `${port}${nodePort === 0 ? "" : `:${nodePort}`}/${protocol}`)
        .join(","),
      String(line.backends),
    ]);
    await writeOut(table(["SERVICE", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORTS", "BACKENDS"], rows));
  }
  return exitCodes.ok;
}

export async function runGetBackends(values: GetValues, signal: AbortSignal): Promise<ExitCode> {
  using client = FleetClient.connect(values, signal);
  const state = await readState(client, "");
  const serviceNames = new Map(state.services.map(({ name }) => [resourceId("service", name) as bigint, name]));
  const lines = state.backends
    .map((backend) => backendLine(backend, serviceNames.get(backend.service) ?? printId(backend.service), state))
    .toSorted(
      (a, b) =>
        compareText(a.service, b.service) ||
        compareText(a.address, b.address) ||
        compareText(JSON.stringify(a.ports), JSON.stringify(b.ports)),
    );
  if (values.output === "json") await writeLines(lines.map((line) => JSON.stringify(line)));
  else {
    const rows = lines.map((line) => [
      line.service,
      line.address,
      line.ports.map(({ name, number, protocol }) => `${name === "" ? "" : `${name}=`}${number}/${protocol}`).join(","),
      line.node || "-",
      line.zone || "-",
      conditions(line),
    ]);
    await writeOut(table(["SERVICE", "ADDRESS", "PORTS", "NODE", "ZONE", "CONDITIONS"], rows));
  }
  return exitCodes.ok;
}

const typeNames: Readonly<Record<number, string>> = {
  [ServiceType.NODE_PORT]: "NodePort",
  [ServiceType.LOAD_BALANCER]: "LoadBalancer",
};

interface ServiceLine {
  readonly service: string;
  readonly type: string;
  readonly clusterIPs: readonly string[];
  readonly externalIPs: readonly string[];
  readonly loadBalancerIPs: readonly string[];
  readonly ports: readonly {
    readonly name: string;
    readonly protocol: string;
    readonly port: number;
    readonly nodePort: number;
  }[];
  readonly externalTrafficPolicy: "Cluster" | "Local";
  readonly internalTrafficPolicy: "Cluster" | "Local";
  readonly affinitySeconds: number;
  readonly loadBalancerSourceRanges: readonly string[];
  readonly healthCheckNodePort: number;
  /** Backend resources. */
  readonly backends: number;
}

function serviceLine(of: Service, backends: number): ServiceLine {
  return {
    service: of.name,
    type: typeNames[of.type] ?? "ClusterIP",
    clusterIPs: of.clusterIps.map(addressFromBytes),
    externalIPs: of.externalIps.map(addressFromBytes),
    loadBalancerIPs: of.loadBalancerIps.map(addressFromBytes),
    ports: of.ports.map(({ name, protocol, port, nodePort }) => ({
      name,
      protocol: printWireProtocol(protocol),
      port,
      nodePort,
    })),
    externalTrafficPolicy: of.externalLocal ? "Local" : "Cluster",
    internalTrafficPolicy: of.internalLocal ? "Local" : "Cluster",
    affinitySeconds: of.affinitySeconds,
    loadBalancerSourceRanges: of.loadBalancerSourceRanges.map(printWirePrefix),
    healthCheckNodePort: of.healthCheckNodePort,
    backends,
  };
}

interface BackendLine {
  readonly service: string;
  readonly address: string;
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly number: number }[];
  readonly node: string;
  readonly zone: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
  /** Counts on `node` only, instead of other copies of the endpoint. */
  readonly localCopy?: true;
}

function backendLine(of: Backend, service: string, { names }: State): BackendLine {
  const nameOf = (id: bigint): string => (id === 0n ? "" : (names.get(id) ?? printId(id)));
  return {
    service,
    address: addressFromBytes(of.address),
    ports: of.ports.map(({ name, protocol, number }) => ({ name, protocol: printWireProtocol(protocol), number })),
    node: nameOf(of.node),
    zone: nameOf(of.zone),
    ready: !of.notReady,
    serving: !of.notServing,
    terminating: of.terminating,
    zoneHints: of.zoneHints.map(nameOf).toSorted(compareText),
    nodeHints: of.nodeHints.map(nameOf).toSorted(compareText),
    ...(of.localCopy ? { localCopy: true } : {}),
  };
}

function conditions({ ready, serving, terminating, localCopy }: BackendLine): string {
  return [
    ready ? "ready" : "not ready",
    ...(!ready && serving ? ["serving"] : []),
    ...(terminating ? ["terminating"] : []),
    ...(localCopy === true ? ["on its own node only"] : []),
  ].join(", ");
}

// A name that is not known (yet).
function printId(id: bigint): string {
  return `#${id.toString(16).padStart(16, "0")}`;
}
