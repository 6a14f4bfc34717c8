/** Which frontends a service asks for, before it is known whether another service holds them (S3, S8, S11, S17). */
import { addressFromBytes, compareText, type Address, familyOf } from "@weft/proto/address.ts";
import { Protocol, type Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { FrontendKind, ProtocolName } from "./frontend.ts";
import type { PlanNode } from "./plan-input.ts";

/** One (address, port, protocol), both scopes, that a service port asks for. Compared by identity. */
export interface Claim {
  /** "address port protocol". */
  readonly key: string;
  /** "ns/name". */
  readonly service: string;
  /** Index in `Service.ports`. */
  readonly portIndex: number;
  readonly kind: FrontendKind;
  readonly address: Address;
  readonly port: number;
  readonly protocol: ProtocolName;
}

/** S18, first wins. */
const kindOrder: readonly FrontendKind[] = ["ClusterIP", "LoadBalancerIP", "ExternalIP", "NodePort"];

/** Negative: `a` wins over `b` (S17 within a service, S18 between two). */
export function compareClaims(a: Claim, b: Claim): number {
  return (
    kindOrder.indexOf(a.kind) - kindOrder.indexOf(b.kind) ||
    compareText(a.service, b.service) ||
    a.portIndex - b.portIndex
  );
}

/** Undefined for a protocol that this version does not know. */
export function protocolName(of: Protocol): ProtocolName | undefined {
  switch (of) {
    case Protocol.TCP:
      return "TCP";
    case Protocol.UDP:
      return "UDP";
    case Protocol.SCTP:
      return "SCTP";
    default:
      return undefined;
  }
}

/** S1: "ns/name:portName", or "ns/name" for a nameless port. */
export function servicePortName(service: Service, portIndex: number): string {
  const name = service.ports[portIndex]?.name ?? "";
  return name === "" ? service.name : `${service.name}:${name}`;
}

export function clusterIps(service: Service): readonly Address[] {
  return service.clusterIps.map(addressFromBytes);
}

/** Every frontend that the service asks for on this node. */
export function claimsOf(service: Service, node: PlanNode): readonly Claim[] {
  const own = clusterIps(service);
  const families = new Set(own.map(familyOf));
  const isServed = (address: Address): boolean => families.has(familyOf(address));
  const addresses: readonly (readonly [FrontendKind, readonly Address[]])[] = [
    ["ClusterIP", own],
    ["LoadBalancerIP", service.loadBalancerIps.map(addressFromBytes).filter(isServed)],
    ["ExternalIP", service.externalIps.map(addressFromBytes).filter(isServed)],
    ["NodePort", node.nodePortAddresses.filter((address) => isServed(address) && address !== "::1")],
  ];
  const claims: Claim[] = [];
  for (const [portIndex, servicePort] of service.ports.entries()) {
    const protocol = protocolName(servicePort.protocol);
    if (protocol === undefined) continue;
    for (const [kind, ofKind] of addresses) {
      const port = kind === "NodePort" ? servicePort.nodePort : servicePort.port;
      if (port === 0) continue;
      for (const address of ofKind) {
        claims.push({
          key: `${address} ${port} ${protocol}`,
          service: service.name,
          portIndex,
          kind,
          address,
          port,
          protocol,
        });
      }
    }
  }
  return claims;
}
