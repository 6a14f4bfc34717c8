/** A cluster of the naive rules as API objects, compiled as a control plane would; for tests. */
import type { CompiledResource } from "@weft/controlplane/catalog/resource.ts";
import { Compiler } from "@weft/controlplane/compile/compiler.ts";
import { project } from "@weft/controlplane/source/projection.ts";
import { parseNodePortSelector } from "@weft/nodeagent/plan/node-port-addresses.ts";
import { planInput } from "@weft/nodeagent/plan/plan-input.ts";
import { parseAddress, type Address } from "@weft/proto/address.ts";
import type { Backend, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { NaiveService, NaiveSlice, NaiveWorld } from "./naive-rules.ts";
import { plannedNode, type PlanSource } from "../plan-source.ts";

export interface WorldSource extends PlanSource {
  /** All that a control plane would send. */
  readonly resources: readonly CompiledResource[];
}

export function worldSource(world: NaiveWorld): WorldSource {
  const { node, nodePortAddresses, localClusterIps } = world;
  const compiler = new Compiler();
  for (const object of worldObjects(world)) {
    const projection = project(object);
    if (projection.outcome === "record") compiler.apply([{ op: "put", record: projection.record }]);
  }
  const resources = compiler.take().puts;
  const services: Service[] = [];
  const backends: Backend[] = [];
  const names = new Map<bigint, string>();
  for (const { id, value } of resources) {
    if (value.kind === "service") services.push(value.service);
    else if (value.kind === "backend") backends.push(value.backend);
    else names.set(id, value.name.value);
  }
  const nodeportAddresses = nodePortAddresses.map((text) => {
    const parsed = parseNodePortSelector(text);
    if (!parsed.ok) throw new RangeError(parsed.problem);
    return parsed.value;
  });
  const localAddresses = new Set(world.localAddresses.map(read));
  return {
    input: planInput(services, backends),
    node: plannedNode(
      { node: node.name, nodeportAddresses, localClusterIps },
      compiler.nodes().get(node.name)?.zone ?? "",
      compiler.nodes().get(node.name)?.addresses ?? [],
      { localAddresses },
    ),
    serviceCidrs: compiler.serviceCidrs(),
    names,
    refusals: [],
    resources,
  };
}

function worldObjects({ services, slices, node, serviceCidrs }: NaiveWorld): readonly unknown[] {
  const labels = node.zone === "" ? {} : { "topology.kubernetes.io/zone": node.zone };
  const addresses = [
    ...node.externalIPs.map((address) => ({ type: "ExternalIP", address })),
    ...node.internalIPs.map((address) => ({ type: "InternalIP", address })),
  ];
  const cidrs = { apiVersion: "networking.k8s.io/v1", kind: "ServiceCIDR", metadata: { name: "all" } };
  return [
    { apiVersion: "v1", kind: "Node", metadata: { name: node.name, labels }, status: { addresses } },
    ...(serviceCidrs.length === 0 ? [] : [{ ...cidrs, spec: { cidrs: serviceCidrs } }]),
    ...services.map(serviceObject),
    ...slices.map(sliceObject),
  ];
}

function serviceObject(of: NaiveService): unknown {
  const { namespace, name, labels, annotations, type, clusterIPs, ports, externalIPs, affinitySeconds } = of;
  const affinity = {
    sessionAffinity: "ClientIP",
    sessionAffinityConfig: { clientIP: { timeoutSeconds: affinitySeconds } },
  };
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace, name, labels, annotations },
    spec: {
      type,
      ...(clusterIPs.length === 0 ? {} : { clusterIP: clusterIPs[0], clusterIPs }),
      ports,
      // The EndpointSlice controller has expressed them already (S22).
      publishNotReadyAddresses: true,
      trafficDistribution: "PreferSameNode",
      externalIPs,
      externalTrafficPolicy: of.externalTrafficPolicy,
      internalTrafficPolicy: of.internalTrafficPolicy,
      loadBalancerSourceRanges: of.loadBalancerSourceRanges,
      ...(affinitySeconds === 0 ? {} : affinity),
    },
    status: { loadBalancer: { ingress: of.ingress } },
  };
}

function sliceObject({ namespace, name, labels, addressType, ports, endpoints }: NaiveSlice): unknown {
  const named = (values: readonly string[]): readonly { readonly name: string }[] =>
    values.map((value) => ({ name: value }));
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { namespace, name, labels },
    addressType,
    ports,
    endpoints: endpoints.map(({ forZones, forNodes, ...endpoint }) => ({
      ...endpoint,
      // Does nothing by itself (S22).
      zone: "z1",
      hints: { forZones: named(forZones), forNodes: named(forNodes) },
    })),
  };
}

function read(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new RangeError(`not an address: ${text}`);
  return address;
}
