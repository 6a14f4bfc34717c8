/** Which endpoints of a service port a node uses (S19, S23, S24). */
import { addressFromBytes, compareBytes, type Family } from "@weft/proto/address.ts";
import type { Backend, ServicePort } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { PlanNode } from "./plan-input.ts";
import { Targets, type Target } from "./targets.ts";

/** One (address, number) of a service port, and the backend that says everything else about it. */
export interface Endpoint {
  readonly backend: Backend;
  readonly target: Target;
}

/** The two sets a policy chooses from. Both are ordered as `Frontend.targets`; equal sets are one list. */
export interface EndpointChoice {
  readonly cluster: Targets;
  readonly local: Targets;
}

/** Endpoints of one service port and family as the node sees them (S21), without repeats, ordered by (address bytes, port). */
export function endpointsOf(
  backends: readonly Backend[],
  port: ServicePort,
  family: Family,
  node: PlanNode,
): readonly Endpoint[] {
  const length = family === 4 ? 4 : 16;
  const endpoints: Endpoint[] = [];
  for (const backend of backends) {
    if (backend.address.length !== length || (backend.localCopy && backend.node !== node.id)) continue;
    for (const { name, protocol, number } of backend.ports) {
      if (name !== port.name || protocol !== port.protocol) continue;
      endpoints.push({ backend, target: { address: addressFromBytes(backend.address), port: number } });
    }
  }
  // The node's own copy comes first, so that it is the one that stays.
  endpoints.sort((a, b) => compareEndpoints(a, b) || Number(b.backend.localCopy) - Number(a.backend.localCopy));
  return endpoints.filter((endpoint, i) => i === 0 || compareEndpoints(endpoint, endpoints[i - 1] ?? endpoint) !== 0);
}

export function chooseEndpoints(endpoints: readonly Endpoint[], node: PlanNode): EndpointChoice {
  const usable = usableOf(endpoints);
  const cluster = clusterSet(usable, node).endpoints;
  const local = localSet(usable, node).endpoints;
  const targets = Targets.of(cluster.map(({ target }) => target));
  const isSame = local.length === cluster.length && local.every((endpoint, i) => endpoint === cluster[i]);
  return { cluster: targets, local: isSame ? targets : Targets.of(local.map(({ target }) => target)) };
}

/** Endpoints that some node could use: that there is none is the difference between reject and drop (S19). */
export interface Usable {
  readonly ready: readonly Endpoint[];
  /** Serving and terminating ones: for a set without a ready one. */
  readonly fallback: readonly Endpoint[];
}

export function usableOf(endpoints: readonly Endpoint[]): Usable {
  return {
    ready: endpoints.filter(({ backend }) => !backend.notReady),
    fallback: endpoints.filter(({ backend }) => backend.notReady && !backend.notServing && backend.terminating),
  };
}

/** A set, and the rule that made it. */
export interface ChosenSet {
  readonly endpoints: readonly Endpoint[];
  readonly by: "ready" | "node-hints" | "zone-hints" | "terminating";
}

export function clusterSet({ ready, fallback }: Usable, node: PlanNode): ChosenSet {
  if (ready.length === 0) return { endpoints: fallback, by: "terminating" };
  const forNode = narrow(ready, ({ nodeHints }) => nodeHints, node.id);
  if (forNode !== undefined) return { endpoints: forNode, by: "node-hints" };
  const forZone = node.zone === 0n ? undefined : narrow(ready, ({ zoneHints }) => zoneHints, node.zone);
  return forZone === undefined ? { endpoints: ready, by: "ready" } : { endpoints: forZone, by: "zone-hints" };
}

export function localSet({ ready, fallback }: Usable, node: PlanNode): ChosenSet {
  const isLocal = ({ backend }: Endpoint): boolean => backend.node === node.id;
  const readyHere = ready.filter(isLocal);
  if (readyHere.length > 0) return { endpoints: readyHere, by: "ready" };
  return { endpoints: fallback.filter(isLocal), by: "terminating" };
}

/** Any endpoint that some node could use (S19). */
export function hasUsable(endpoints: readonly Endpoint[]): boolean {
  return endpoints.some(({ backend }) => !backend.notReady || (!backend.notServing && backend.terminating));
}

// Undefined unless every endpoint has hints and one of them names `wanted`.
function narrow(
  ready: readonly Endpoint[],
  hintsOf: (backend: Backend) => readonly bigint[],
  wanted: bigint,
): readonly Endpoint[] | undefined {
  if (ready.some(({ backend }) => hintsOf(backend).length === 0)) return undefined;
  const chosen = ready.filter(({ backend }) => hintsOf(backend).includes(wanted));
  return chosen.length > 0 ? chosen : undefined;
}

function compareEndpoints(a: Endpoint, b: Endpoint): number {
  return compareBytes(a.backend.address, b.backend.address) || a.target.port - b.target.port;
}
