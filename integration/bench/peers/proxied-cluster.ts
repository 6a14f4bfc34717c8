/** Services of `cluster.ts` as the rules of kube-proxy see them. Pure. */
import { clusterIp, podIp, serviceKey, servicePort, targetPort } from "../cluster.ts";
import type { ClusterShape } from "../cluster.ts";
import type { ProxiedService, RuleFamily } from "./proxied-service.ts";

/** @param changes how often its last endpoint was replaced. */
export function proxiedService(shape: ClusterShape, service: number, family: RuleFamily, changes = 0): ProxiedService {
  const ipFamily = family === 4 ? "IPv4" : "IPv6";
  return {
    ...serviceKey(service),
    portName: "http",
    protocol: "tcp",
    address: clusterIp(service, ipFamily),
    port: servicePort,
    endpoints: Array.from({ length: shape.endpoints }, (_, endpoint) => ({
      address: podIp(shape, service, endpoint, ipFamily, changes),
      port: targetPort,
    })),
  };
}
