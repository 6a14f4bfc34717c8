/** Which endpoints of a service port a node uses (S19, S23, S24). */
import { addressFromBytes, compareBytes, type Family } from "@weft/proto/address.ts";
import type { Backend, ServicePort } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { Target } from "./frontend.ts";
import type { PlanNode } from "./plan-input.ts";

/** One (address, number) of a service port, and the backend that says everything else about it. */
export interface Endpoint {
  readonly backend: Backend;
  readonly target: Target;
}

/** The two sets a policy chooses from. Both are ordered as `Frontend.targets`; equal sets are one array. */
export interface EndpointChoice {
  readonly cluster: readonly Target[];
  readonly local: readonly Target[];
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
  const ready = endpoints.filter(({ backend }) => !backend.notReady);
  const fallback = endpoints.filter(({ backend }) => backend.notReady && !backend.notServing && backend.terminating);
  const isLocal = ({ backend }: Endpoint): boolean => backend.node === node.id;
  const cluster = ready.length > 0 ? narrowByHints(ready, node) : fallback;
  const readyHere = ready.filter(isLocal);
  const local = readyHere.length > 0 ? readyHere : fallback.filter(isLocal);
  const targets = cluster.map(({ target }) => target);
  const isSame = local.length === cluster.length && local.every((endpoint, i) => endpoint === cluster[i]);
  return { cluster: targets, local: isSame ? targets : local.map(({ target }) => target) };
}

/** Any endpoint that some node could use: the difference between drop and reject (S19). */
export function hasUsable(endpoints: readonly Endpoint[]): boolean {
  return endpoints.some(({ backend }) => !backend.notReady || (!backend.notServing && backend.terminating));
}

function narrowByHints(ready: readonly Endpoint[], node: PlanNode): readonly Endpoint[] {
  const forNode = narrow(ready, ({ nodeHints }) => nodeHints, node.id);
  if (forNode !== undefined) return forNode;
  return (node.zone === 0n ? undefined : narrow(ready, ({ zoneHints }) => zoneHints, node.zone)) ?? ready;
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
