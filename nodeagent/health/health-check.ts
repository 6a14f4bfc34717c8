/**
 * What a load balancer is told at a health check node port: whether this node has ready endpoints of a service (S34). As
 * kube-proxy's pkg/proxy/healthcheck.
 */
import { addressFromBytes } from "@weft/proto/address.ts";
import type { Family } from "@weft/proto/address.ts";
import { ServiceType } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import type { HttpResponse } from "@weft/proto/program/http.ts";
import type { ServiceView } from "../plan/plan-input.ts";

/** One health check node port and what it answers. */
export interface HealthCheck {
  /** "ns/name". */
  readonly service: string;
  readonly port: number;
  /** Those in which the service has a ClusterIP, the only ones that are served (S11); at least one. */
  readonly families: readonly Family[];
  /** Addresses with a ready local endpoint, by family. */
  readonly localEndpoints: Readonly<Record<Family, number>>;
}

/**
 * Undefined: the service has none; only LoadBalancer services with externalTrafficPolicy Local have one that counts.
 *
 * @param node Id of this node's name.
 */
export function healthCheckOf(view: ServiceView, node: bigint): HealthCheck | undefined {
  const { service } = view;
  const port = service.healthCheckNodePort;
  if (port === 0 || service.type !== ServiceType.LOAD_BALANCER || !service.externalLocal) return undefined;
  const families = ([4, 6] as const).filter((family) => service.clusterIps.some((ip) => familyOfBytes(ip) === family));
  if (families.length === 0) return undefined;
  const local = { 4: new Set<string>(), 6: new Set<string>() };
  for (const backend of view.backends) {
    // Ready is what the condition says: publishNotReadyAddresses makes a terminating endpoint ready, else it is not.
    if (backend.notReady || backend.node !== node || backend.ports.length === 0) continue;
    local[familyOfBytes(backend.address)].add(addressFromBytes(backend.address));
  }
  return { service: service.name, port, families, localEndpoints: { 4: local[4].size, 6: local[6].size } };
}

/** @param family The one that the question came by: a service that has it is answered for, else for the one that it has. */
export function answerHealthCheck(check: HealthCheck, family: Family, isProxyHealthy: boolean): HttpResponse {
  const asked = check.families.includes(family) ? family : (check.families[0] ?? family);
  const localEndpoints = check.localEndpoints[asked];
  const slash = check.service.indexOf("/");
  const service = { namespace: check.service.slice(0, slash), name: check.service.slice(slash + 1) };
  const body = JSON.stringify({ service, localEndpoints, serviceProxyHealthy: isProxyHealthy }, undefined, "\t");
  return {
    status: localEndpoints > 0 && isProxyHealthy ? 200 : 503,
    contentType: "application/json",
    headers: { "x-load-balancing-endpoint-weight": String(localEndpoints) },
    body,
  };
}

function familyOfBytes(bytes: Uint8Array): Family {
  return bytes.length === 4 ? 4 : 6;
}
