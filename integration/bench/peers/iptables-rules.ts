/**
 * Input for `iptables-restore` as kube-proxy 1.37 gives it in its iptables mode: a rule for each service in one chain,
 * a chain for each service and one for each endpoint. As for more than 1,000 endpoints: without comments in the chains of services
 * and endpoints. Without the parts that a cluster of ClusterIP services leaves empty, and without masquerading of callers outside
 * the cluster network. Source: kubernetes/pkg/proxy/iptables/proxier.go. Pure but for `node:crypto`.
 */
import { createHash } from "node:crypto";
import { printEndpoint } from "./proxied-service.ts";
import type { ProxiedEndpoint, ProxiedService, RuleFamily } from "./proxied-service.ts";

/** All rules of both tables, to be given without `--noflush`: instead of what is there. */
export function iptablesTables(family: RuleFamily, services: readonly ProxiedService[]): string {
  const filter = [
    ...["INPUT", "FORWARD"].map((from) => `-A ${from} ${fresh} -j KUBE-EXTERNAL-SERVICES`),
    '-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
    ...["FORWARD", "OUTPUT"].map((from) => `-A ${from} ${fresh} -j KUBE-SERVICES`),
    '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
    ...["INPUT", "OUTPUT", "FORWARD"].map((from) => `-A ${from} ${fresh} -j KUBE-PROXY-FIREWALL`),
  ];
  const nat = [
    ...["OUTPUT", "PREROUTING"].map((from) => `-A ${from} ${portals} -j KUBE-SERVICES`),
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
  ];
  return restoreInput(family, services, services, { filter, nat });
}

/**
 * What is given, with `--noflush`, after a change of the endpoints of some services: the rule of every service, but only the chains of `changed`. The
 * chain of an endpoint that left stays until kube-proxy cleans up, which it does not do in each round of a large cluster.
 */
export function iptablesChange(
  family: RuleFamily,
  services: readonly ProxiedService[],
  changed: readonly ProxiedService[],
): string {
  return restoreInput(family, services, changed, { filter: [], nat: [] });
}

const portals = '-m comment --comment "kubernetes service portals"';
const fresh = `-m conntrack --ctstate NEW ${portals}`;
const masqueradeMark = "0x00004000";

function restoreInput(
  family: RuleFamily,
  services: readonly ProxiedService[],
  written: readonly ProxiedService[],
  jumps: { readonly filter: readonly string[]; readonly nat: readonly string[] },
): string {
  const localhost = family === 4 ? "127.0.0.0/8" : "::1/128";
  return [
    "*filter",
    ...filterChains.map(chainLine),
    ...jumps.filter,
    "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
    `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark ${masqueradeMark}/${masqueradeMark} -j ACCEPT`,
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    "COMMIT",
    "*nat",
    ...natChains.map(chainLine),
    ...written.flatMap((service) => [
      chainLine(serviceChain(service)),
      ...service.endpoints.map((endpoint) => chainLine(endpointChain(service, endpoint))),
    ]),
    ...jumps.nat,
    `-A KUBE-POSTROUTING -m mark ! --mark ${masqueradeMark}/${masqueradeMark} -j RETURN`,
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${masqueradeMark}`,
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${masqueradeMark}`,
    ...services.map(serviceRule),
    ...written.flatMap(chainRules),
    `-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL ! -d ${localhost} -j KUBE-NODEPORTS`,
    "COMMIT",
    "",
  ].join("\n");
}

const filterChains = [
  "KUBE-SERVICES",
  "KUBE-EXTERNAL-SERVICES",
  "KUBE-FORWARD",
  "KUBE-NODEPORTS",
  "KUBE-PROXY-FIREWALL",
];
const natChains = ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"];

function serviceRule(service: ProxiedService): string {
  const { protocol, address, port } = service;
  return `-A KUBE-SERVICES -m comment --comment "${nameOf(service)} cluster IP" -m ${protocol} -p ${protocol} -d ${address} --dport ${port} -j ${serviceChain(service)}`;
}

function chainRules(service: ProxiedService): string[] {
  const { protocol, endpoints } = service;
  const chain = serviceChain(service);
  return [
    ...endpoints.map((endpoint, i) => {
      const left = endpoints.length - i;
      const chance = left === 1 ? "" : ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}`;
      return `-A ${chain}${chance} -j ${endpointChain(service, endpoint)}`;
    }),
    ...endpoints.flatMap((endpoint) => {
      const of = `-A ${endpointChain(service, endpoint)}`;
      return [
        `${of} -s ${endpoint.address} -j KUBE-MARK-MASQ`,
        `${of} -m ${protocol} -p ${protocol} -j DNAT --to-destination ${printEndpoint(endpoint)}`,
      ];
    }),
  ];
}

function serviceChain(service: ProxiedService): string {
  return `KUBE-SVC-${digest(`${nameOf(service)}${service.protocol}`)}`;
}

function endpointChain(service: ProxiedService, endpoint: ProxiedEndpoint): string {
  return `KUBE-SEP-${digest(`${nameOf(service)}${service.protocol}${printEndpoint(endpoint)}`)}`;
}

function nameOf({ namespace, name, portName }: ProxiedService): string {
  return `${namespace}/${name}:${portName}`;
}

/** 16 characters, as many as kube-proxy takes; these are of base 16 and not of base 32. */
function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16).toUpperCase();
}

function chainLine(chain: string): string {
  return `:${chain} - [0:0]`;
}
