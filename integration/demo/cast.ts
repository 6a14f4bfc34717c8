/** Who plays in the demo: the pods of `integration/lab/manifests`, the ones that join later, and what clients ask. */
import type { ClientTarget } from "../lab/client-messages.ts";
import type { PodSpec } from "../lab/lab.ts";

export const nodeCount = 3;

/** The order on each node gives the addresses that the manifests name. */
export const firstPods: readonly PodSpec[] = [
  { name: "web-1", node: 1, ports: "8080" },
  { name: "api-1", node: 1, ports: "8443" },
  { name: "web-2", node: 2, ports: "8080" },
  { name: "api-2", node: 2, ports: "8443" },
  { name: "dns-1", node: 2, ports: "5353" },
  { name: "web-3", node: 3, ports: "8080" },
  { name: "dns-2", node: 3, ports: "5353" },
];

export const web = { file: "web.yaml", name: "default/web", port: 8080 } as const;
export const api = { file: "api.yaml", name: "default/api", port: 8443 } as const;
export const dns = { file: "dns.yaml", name: "kube-system/dns", port: 5353 } as const;

export type CastService = typeof web | typeof api | typeof dns;

/** Target names begin with the service's name. */
export const targets: readonly ClientTarget[] = [
  { name: "default/web tcp4", transport: "tcp", address: "10.96.0.10", port: 80 },
  { name: "kube-system/dns udp4", transport: "udp", address: "10.96.0.53", port: 53 },
  { name: "default/api tcp4", transport: "tcp", address: "10.96.0.20", port: 443 },
  { name: "kube-system/dns udp6", transport: "udp", address: "fd00:96::53", port: 53 },
  { name: "default/web tcp6", transport: "tcp", address: "fd00:96::10", port: 80 },
  { name: "kube-system/dns udp4 connected", transport: "udp-connected", address: "10.96.0.53", port: 53 },
  { name: "default/api tcp6", transport: "tcp", address: "fd00:96::20", port: 443 },
  { name: "default/web tcp4 from an IPv6 socket", transport: "tcp", address: "::ffff:10.96.0.10", port: 80 },
];

export const exchangesPerSecond = 80;
