/**
 * Input for `nft -f -` as kube-proxy 1.37 gives it in its nftables mode: one table, a map from ClusterIP and port to the chain of
 * the service, and in that chain one rule that draws an endpoint and sends the packet there. Without the parts that a cluster of
 * ClusterIP services leaves empty (node ports, source ranges, affinity), and without masquerading of callers outside the cluster
 * network. Source: kubernetes/pkg/proxy/nftables/proxier.go. Pure but for `node:crypto`.
 */
import { createHash } from "node:crypto";
import { printEndpoint } from "./proxied-service.ts";
import type { ProxiedEndpoint, ProxiedService, RuleFamily } from "./proxied-service.ts";

/** The whole table, instead of one that is there. */
export function nftablesTable(family: RuleFamily, services: readonly ProxiedService[]): string {
  const ip = family === 4 ? "ip" : "ip6";
  const table = `${ip} kube-proxy`;
  const address = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const destination = `${ip} daddr . meta l4proto . th dport`;
  return lines([
    `add table ${table}`,
    `delete table ${table}`,
    `add table ${table}`,
    ...baseChains.map(
      ([name, type, hook, priority]) =>
        `add chain ${table} ${name} { type ${type} hook ${hook} priority ${priority} ; }`,
    ),
    ...[...new Set([...jumps.map(([chain]) => chain), "reject-chain"])].map((chain) => `add chain ${table} ${chain}`),
    ...jumps.map(([chain, from, condition]) => `add rule ${table} ${from} ${condition} jump ${chain}`),
    `add set ${table} hairpin-connections { type ${address} . ${address} . inet_proto . inet_service ; }`,
    `add rule ${table} masquerading mark and 0x4000 != 0 mark set mark xor 0x4000 masquerade fully-random`,
    `add rule ${table} masquerading ct status dnat ${ip} saddr . ${ip} daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random`,
    `add set ${table} cluster-ips { type ${address} ; }`,
    `add rule ${table} cluster-ips-check ${ip} daddr @cluster-ips reject`,
    ...verdictMaps.map(
      ([name, isOfAddress]) =>
        `add map ${table} ${name} { type ${isOfAddress ? `${address} . ` : ""}inet_proto . inet_service : verdict ; }`,
    ),
    `add rule ${table} reject-chain reject`,
    `add rule ${table} service-endpoints-check ${destination} vmap @no-endpoint-services`,
    `add rule ${table} nodeport-endpoints-check ${notLocalhost(family)} meta l4proto . th dport vmap @no-endpoint-nodeports`,
    `add rule ${table} firewall-check ${destination} vmap @firewall-ips`,
    `add rule ${table} services ${destination} vmap @service-ips`,
    `add rule ${table} services fib daddr type local ${notLocalhost(family)} meta l4proto . th dport vmap @service-nodeports`,
    ...services.flatMap((service) => [
      ...serviceChain(table, ip, service),
      `add element ${table} cluster-ips { ${service.address} }`,
      `add element ${table} service-ips { ${service.address} . ${service.protocol} . ${service.port} : goto ${chainOf(service)} }`,
    ]),
  ]);
}

/** The transaction after a change of the endpoints of these services. */
export function nftablesChange(family: RuleFamily, services: readonly ProxiedService[]): string {
  const ip = family === 4 ? "ip" : "ip6";
  return lines(services.flatMap((service) => serviceChain(`${ip} kube-proxy`, ip, service)));
}

const baseChains = [
  ["filter-prerouting-pre-dnat", "filter", "prerouting", -110],
  ["filter-output-pre-dnat", "filter", "output", -110],
  ["filter-input", "filter", "input", 0],
  ["filter-forward", "filter", "forward", 0],
  ["filter-output", "filter", "output", 0],
  ["nat-prerouting", "nat", "prerouting", -100],
  ["nat-output", "nat", "output", -100],
  ["nat-postrouting", "nat", "postrouting", 100],
] as const;

/** Chain, the base chain that jumps there, and for which packets. */
const jumps = [
  ["nodeport-endpoints-check", "filter-input", "ct state new"],
  ["service-endpoints-check", "filter-input", "ct state new"],
  ["service-endpoints-check", "filter-forward", "ct state new"],
  ["service-endpoints-check", "filter-output", "ct state new"],
  ["firewall-check", "filter-prerouting-pre-dnat", "ct state new"],
  ["firewall-check", "filter-output-pre-dnat", "ct state new"],
  ["services", "nat-output", ""],
  ["services", "nat-prerouting", ""],
  ["masquerading", "nat-postrouting", ""],
  ["cluster-ips-check", "filter-forward", "ct state new"],
  ["cluster-ips-check", "filter-output", "ct state new"],
] as const;

/** Name, and whether the address is part of the key. */
const verdictMaps = [
  ["no-endpoint-services", true],
  ["no-endpoint-nodeports", false],
  ["firewall-ips", true],
  ["service-ips", true],
  ["service-nodeports", false],
] as const;

function serviceChain(table: string, ip: string, service: ProxiedService): string[] {
  const chain = chainOf(service);
  const { protocol, endpoints } = service;
  return [
    `add chain ${table} ${chain}`,
    `flush chain ${table} ${chain}`,
    `add rule ${table} ${chain} meta l4proto ${protocol} dnat ${destinationOf(ip, endpoints)}`,
  ];
}

// Maps are slow to make: kube-proxy has none for a single endpoint either.
function destinationOf(ip: string, endpoints: readonly ProxiedEndpoint[]): string {
  const [only] = endpoints;
  if (endpoints.length === 1 && only !== undefined) return `to ${printEndpoint(only)}`;
  const choices = endpoints.map(({ address, port }, i) => `${i} : ${address} . ${port}`).join(" , ");
  return `${ip} addr . port to numgen random mod ${endpoints.length} map { ${choices} }`;
}

function chainOf({ namespace, name, protocol, portName }: ProxiedService): string {
  const text = `${namespace}/${name}/${protocol}/${portName}`;
  return `service-${createHash("sha256").update(text).digest("hex").slice(0, 8).toUpperCase()}-${text}`;
}

function notLocalhost(family: RuleFamily): string {
  return family === 4 ? "ip daddr != 127.0.0.0/8" : "ip6 daddr != ::1";
}

function lines(of: readonly string[]): string {
  return `${of.join("\n")}\n`;
}
