/** How a frontend came to what it does: the policy that counts, the rule that chose its endpoints, and why others are left out. */
import { compareText, familyOf, printSocketAddress } from "@weft/proto/address.ts";
import type { Backend, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import {
  clusterSet,
  endpointsOf,
  localSet,
  usableOf,
  type ChosenSet,
  type Endpoint,
  type Usable,
} from "../choose-endpoints.ts";
import { protocolName, servicePortName } from "../claim.ts";
import type { Frontend } from "../frontend.ts";
import type { PlanNode, ServiceView } from "../plan-input.ts";

export interface LeftOut {
  /** "ip:port". */
  readonly endpoint: string;
  readonly reason: string;
}

export interface Decision {
  readonly policy: string;
  readonly choice: string;
  /** By text of the endpoint. */
  readonly leftOut: readonly LeftOut[];
}

/** The name behind an id of a node or a zone; undefined: nothing refers to it. */
export type NameOf = (id: bigint) => string | undefined;

export function decisionOf(view: ServiceView, frontend: Frontend, node: PlanNode, nameOf: NameOf): Decision {
  const { service } = view;
  const isLocal = isLocalPolicy(service, frontend);
  const port = service.ports.find(
    (own, i) =>
      servicePortName(service, i) === frontend.servicePort && protocolName(own.protocol) === frontend.protocol,
  );
  const backends = [...view.backends];
  const endpoints = port === undefined ? [] : endpointsOf(backends, port, familyOf(frontend.address), node);
  const usable = usableOf(endpoints);
  const chosen = isLocal ? localSet(usable, node) : clusterSet(usable, node);
  const whyLeftOut = { chosen, isLocal, node, nameOf };
  const taken = new Set(chosen.endpoints);
  const leftOut = endpoints
    .filter((endpoint) => !taken.has(endpoint))
    .map((endpoint) => ({ endpoint: printEndpoint(endpoint), reason: reasonOf(endpoint, whyLeftOut) }));
  return {
    policy: policyText(service, frontend),
    choice: choiceText(chosen, usable, endpoints.length, isLocal, nameOf(node.zone)),
    leftOut: [...leftOut, ...replacedCopies(endpoints, backends, node)].toSorted(
      (a, b) => compareText(a.endpoint, b.endpoint) || compareText(a.reason, b.reason),
    ),
  };
}

function isLocalPolicy(service: Service, { kind, scope }: Frontend): boolean {
  return kind === "ClusterIP" ? service.internalLocal : scope === "external" && service.externalLocal;
}

function policyText(service: Service, { kind, scope }: Frontend): string {
  const here = "endpoints on this node only";
  const everywhere = "endpoints of the whole cluster";
  if (kind === "ClusterIP")
    return service.internalLocal
      ? `internalTrafficPolicy Local: ${here}`
      : `internalTrafficPolicy Cluster: ${everywhere}`;
  if (!service.externalLocal) return `externalTrafficPolicy Cluster: ${everywhere}`;
  return scope === "external"
    ? `externalTrafficPolicy Local: ${here}`
    : `externalTrafficPolicy Local does not concern pods and the node: ${everywhere}`;
}

function choiceText(
  { endpoints, by }: ChosenSet,
  { ready, fallback }: Usable,
  all: number,
  isLocal: boolean,
  zone: string | undefined,
): string {
  const usable = ready.length + fallback.length;
  if (endpoints.length === 0) {
    return usable > 0
      ? `none of the ${count(usable, "usable endpoint")} is on this node: dropped`
      : `${all === 0 ? "no endpoint" : `none of the ${count(all, "endpoint")} is usable`}: rejected`;
  }
  const where = isLocal ? " on this node" : "";
  switch (by) {
    case "ready":
      return `${count(endpoints.length, "ready endpoint")}${where}`;
    case "node-hints":
      return `node hints: ${endpoints.length} of ${count(ready.length, "ready endpoint")} for this node`;
    case "zone-hints":
      return `zone hints: ${endpoints.length} of ${count(ready.length, "ready endpoint")} for zone ${zone ?? "of this node"}`;
    case "terminating":
      return `no ready endpoint${where}: ${endpoints.length} terminating but still serving`;
  }
}

interface Choosing {
  readonly chosen: ChosenSet;
  readonly isLocal: boolean;
  readonly node: PlanNode;
  readonly nameOf: NameOf;
}

function reasonOf({ backend }: Endpoint, { chosen, isLocal, node, nameOf }: Choosing): string {
  const names = (ids: readonly bigint[]): string => ids.map((id) => nameOf(id) ?? "unknown").join(", ");
  if (isLocal && backend.node !== node.id)
    return backend.node === 0n ? "on no node" : `on node ${nameOf(backend.node) ?? "unknown"}`;
  if (backend.notReady) {
    if (!backend.terminating) return "not ready";
    return backend.notServing ? "terminating and not serving" : "terminating while others are ready";
  }
  return chosen.by === "node-hints"
    ? `its hints are for node ${names(backend.nodeHints)}`
    : `its hints are for zone ${names(backend.zoneHints)}`;
}

// Copies that this node's own copy takes the place of (S21).
function replacedCopies(
  endpoints: readonly Endpoint[],
  backends: readonly Backend[],
  node: PlanNode,
): readonly LeftOut[] {
  const own = endpoints.filter(({ backend }) => backend.localCopy);
  if (own.length === 0) return [];
  return own
    .filter(({ backend, target }) =>
      backends.some(
        (other) =>
          !other.localCopy &&
          other.node !== node.id &&
          String(other.address) === String(backend.address) &&
          other.ports.some(({ number }) => number === target.port),
      ),
    )
    .map((endpoint) => ({
      endpoint: printEndpoint(endpoint),
      reason: "a copy in another slice says otherwise; the one of this node counts here",
    }));
}

function printEndpoint({ target }: Endpoint): string {
  return printSocketAddress(target.address, target.port);
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
