/** What a node holds for one service, given which of its claims it won. Pure. */
import { familyOf, type Address, type Family, type Prefix } from "@weft/proto/address.ts";
import { Protocol, type Backend } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { ServicePlan } from "../dataplane/dataplane.ts";
import { chooseEndpoints, endpointsOf, hasUsable } from "./choose-endpoints.ts";
import { servicePortName, type Claim } from "./claim.ts";
import type { Action, Frontend, Scope } from "./frontend.ts";
import type { PlanNode, ServiceView } from "./plan-input.ts";
import { sourceRanges } from "./source-ranges.ts";
import { Targets } from "./targets.ts";

/** Something about a service that a person should know; holds no wait and is no failure of the node. */
export interface PlanNotice {
  /** "ns/name". */
  readonly service: string;
  readonly category: "conflict" | "unsupported";
  /** What, where and what to do. */
  readonly reason: string;
}

/** What the frontends of one service port and family choose from. */
interface Balancing {
  readonly servicePort: string;
  readonly cluster: Targets;
  readonly local: Targets;
  /** Some node could use an endpoint: an empty set is a drop, not a reject (S19). */
  readonly hasUsable: boolean;
}

/** What of its claims a service has. */
export interface WonClaims {
  readonly claims: readonly Claim[];
  /** Its ClusterIPs that no other service holds. */
  readonly clusterIps: readonly Address[];
  /** Those of all its ClusterIPs that are passed in the internal scope (S32). */
  readonly passed: ReadonlySet<Address>;
}

export function planService(view: ServiceView, won: WonClaims, node: PlanNode): ServicePlan {
  const { claims, clusterIps, passed } = won;
  const { service } = view;
  // Read once: the agent's store decodes a backend each time it is asked for it.
  let read: readonly Backend[] | undefined;
  const backends = (): readonly Backend[] => (read ??= [...view.backends]);
  const balancings = new Map<string, Balancing>();
  const balancingOf = (portIndex: number, family: Family): Balancing => {
    const key = `${portIndex} ${family}`;
    const made = balancings.get(key) ?? balance(view, backends, portIndex, family, node);
    balancings.set(key, made);
    return made;
  };
  const ranges = { 4: sourceRanges(service, 4, node), 6: sourceRanges(service, 6, node) };
  const frontends: Frontend[] = [];
  for (const claim of claims) {
    const family = familyOf(claim.address);
    const balancing = balancingOf(claim.portIndex, family);
    for (const scope of scopesOf(claim)) {
      if (claim.kind === "ClusterIP" && scope === "internal" && passed.has(claim.address)) continue;
      const isLocal =
        claim.kind === "ClusterIP" ? service.internalLocal : scope === "external" && service.externalLocal;
      const guard = claim.kind === "LoadBalancerIP" ? ranges[family] : undefined;
      frontends.push(frontendOf(claim, scope, balancing, isLocal, service.affinitySeconds, guard));
    }
  }
  return {
    service: service.name,
    frontends,
    rejectAddresses: clusterIps.filter((address) => !passed.has(address)),
    passAddresses: clusterIps.filter((address) => passed.has(address)),
  };
}

/** Notices that follow from the service alone: what it asks for and no socket path can give (S33). */
export function unsupportedNotice(view: ServiceView): PlanNotice | undefined {
  const { name, ports } = view.service;
  const sctp = ports.filter((port) => port.protocol === Protocol.SCTP).map((port) => port.port);
  const unknown = ports.filter((port) => !knownProtocols.has(port.protocol)).map((port) => port.port);
  const reasons: string[] = [];
  if (sctp.length > 0) {
    reasons.push(
      `SCTP ports ${sctp.join(", ")} are planned but not served: the kernel runs no connect hook for SCTP; use TCP or UDP`,
    );
  }
  if (unknown.length > 0) {
    reasons.push(`ports ${unknown.join(", ")} have a protocol that this agent does not know; update the agent`);
  }
  return reasons.length === 0
    ? undefined
    : { service: name, category: "unsupported", reason: `${name}: ${reasons.join("; ")}` };
}

const knownProtocols: ReadonlySet<Protocol> = new Set([Protocol.TCP, Protocol.UDP, Protocol.SCTP]);

function balance(
  { service, plainEndpoints }: ServiceView,
  backends: () => readonly Backend[],
  portIndex: number,
  family: Family,
  node: PlanNode,
): Balancing {
  const port = service.ports[portIndex];
  const servicePort = servicePortName(service, portIndex);
  if (port === undefined) return { servicePort, cluster: Targets.none, local: Targets.none, hasUsable: false };
  const plain = family === 4 ? plainEndpoints?.(port, node.id) : undefined;
  if (plain !== undefined) return { servicePort, ...plain, hasUsable: plain.cluster.length > 0 };
  const endpoints = endpointsOf(backends(), port, family, node);
  return { servicePort, ...chooseEndpoints(endpoints, node), hasUsable: hasUsable(endpoints) };
}

// A loopback address is reached from the node only (S8).
function scopesOf(claim: Claim): readonly Scope[] {
  return claim.kind === "NodePort" && claim.address.startsWith("127.") ? ["internal"] : ["external", "internal"];
}

function frontendOf(
  claim: Claim,
  scope: Scope,
  balancing: Balancing,
  isLocal: boolean,
  affinitySeconds: number,
  ranges: readonly Prefix[] | undefined,
): Frontend {
  const targets = isLocal ? balancing.local : balancing.cluster;
  const action: Action = targets.length > 0 ? "forward" : balancing.hasUsable ? "drop" : "reject";
  return {
    address: claim.address,
    port: claim.port,
    protocol: claim.protocol,
    scope,
    kind: claim.kind,
    servicePort: balancing.servicePort,
    action,
    targets,
    affinitySeconds,
    sourceRanges: ranges,
  };
}
