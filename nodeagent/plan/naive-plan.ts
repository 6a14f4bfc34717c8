/**
 * A second planner, for the property test only: straight from the rules, by frontend, without sharing, order or memory. It works on
 * descriptions of a cluster and must share nothing with the planner that it checks.
 */
import type { DescribedBackend, DescribedService } from "./described-cluster.ts";

export interface DescribedNode {
  readonly name: string;
  readonly zone: string;
  readonly addresses: readonly string[];
  readonly nodePortAddresses: readonly string[];
  readonly localAddresses: readonly string[];
  readonly localClusterIps: "pass" | "serve";
}

const ranks: Readonly<Record<string, number>> = { ClusterIP: 0, LoadBalancerIP: 1, ExternalIP: 2, NodePort: 3 };

interface Wish {
  readonly rank: number;
  readonly kind: string;
  readonly service: DescribedService;
  readonly portIndex: number;
}

/**
 * Lines as `weft plan` prints them, in its order, "service lost-key" of what is refused by S18, and the ClusterIPs that are passed
 * (S32) and whose undefined ports are rejected (S6).
 */
export function naivePlan(
  services: readonly DescribedService[],
  backends: readonly DescribedBackend[],
  node: DescribedNode,
): {
  readonly lines: readonly string[];
  readonly refusals: readonly string[];
  readonly passed: readonly string[];
  readonly rejected: readonly string[];
} {
  const clusterIps = [...new Set(services.flatMap((service) => service.clusterIps))].toSorted();
  // S32
  const passed = clusterIps.filter(
    (ip) =>
      node.localClusterIps === "pass" &&
      (node.localAddresses.includes(ip) ||
        services.some((service) => service.clusterIps.includes(ip) && service.nodeLocalPass === true)),
  );
  const wishes = new Map<string, Wish[]>();
  for (const service of services) {
    for (const [portIndex, port] of service.ports.entries()) {
      const wish = (kind: string, addresses: readonly string[], number: number): void => {
        for (const address of addresses) {
          // S11
          if (!service.clusterIps.some((ip) => ip.includes(":") === address.includes(":"))) continue;
          const key = `${address}|${number}|${port.protocol ?? "TCP"}`;
          wishes.set(key, [...(wishes.get(key) ?? []), { rank: ranks[kind] ?? 9, kind, service, portIndex }]);
        }
      };
      wish("ClusterIP", service.clusterIps, port.port);
      wish("LoadBalancerIP", service.loadBalancerIps ?? [], port.port);
      wish("ExternalIP", service.externalIps ?? [], port.port);
      // S8
      if (port.nodePort !== undefined)
        wish(
          "NodePort",
          node.nodePortAddresses.filter((address) => address !== "::1"),
          port.nodePort,
        );
    }
  }
  const lines: { readonly sort: readonly (string | number)[]; readonly line: string }[] = [];
  const refusals = new Set<string>();
  for (const [key, wanted] of wishes) {
    let winner = wanted[0];
    for (const wish of wanted) if (winner !== undefined && isBefore(wish, winner)) winner = wish;
    if (winner === undefined) continue;
    for (const wish of wanted) {
      if (wish.service !== winner.service || wish.portIndex !== winner.portIndex)
        refusals.add(`${wish.service.name} ${key}`);
    }
    const [address = "", number = "", protocol = ""] = key.split("|");
    for (const scope of ["external", "internal"]) {
      if (winner.kind === "NodePort" && address === "127.0.0.1" && scope === "external") continue;
      if (winner.kind === "ClusterIP" && scope === "internal" && passed.includes(address)) continue;
      const { action, chosen } = decide(winner, address.includes(":"), scope, backends, node);
      const portName = winner.service.ports[winner.portIndex]?.name ?? "";
      const line = JSON.stringify({
        address,
        port: Number(number),
        protocol,
        kind: winner.kind,
        scope,
        service: portName === "" ? winner.service.name : `${winner.service.name}:${portName}`,
        action,
        backends: chosen,
        affinitySeconds: winner.service.affinitySeconds ?? 0,
      });
      lines.push({ sort: [address, Number(number), protocol, scope], line });
    }
  }
  lines.sort((a, b) => {
    for (const [i, left] of a.sort.entries()) {
      const right = b.sort[i] ?? "";
      if (left !== right) return left < right ? -1 : 1;
    }
    return 0;
  });
  return {
    lines: lines.map(({ line }) => line),
    refusals: [...refusals].toSorted(),
    passed,
    rejected: clusterIps.filter((ip) => !passed.includes(ip)),
  };
}

function isBefore(a: Wish, b: Wish): boolean {
  if (a.rank !== b.rank) return a.rank < b.rank;
  if (a.service.name !== b.service.name) return a.service.name < b.service.name;
  return a.portIndex < b.portIndex;
}

function decide(
  { kind, service, portIndex }: Wish,
  isSix: boolean,
  scope: string,
  backends: readonly DescribedBackend[],
  node: DescribedNode,
): { readonly action: string; readonly chosen: readonly string[] } {
  const port = service.ports[portIndex];
  const copies = backends.flatMap((backend) =>
    backend.service !== service.name || backend.address.includes(":") !== isSix
      ? []
      : backend.ports
          .filter(
            (own) => (own.name ?? "") === (port?.name ?? "") && (own.protocol ?? "TCP") === (port?.protocol ?? "TCP"),
          )
          .map((own) => ({
            backend,
            text: isSix ? `[${backend.address}]:${own.number}` : `${backend.address}:${own.number}`,
          })),
  );
  // S21
  const isOwn = ({ backend }: (typeof copies)[number]): boolean =>
    backend.localCopy === true && backend.node === node.name;
  const all = copies.filter(
    (copy) =>
      isOwn(copy) ||
      (copy.backend.localCopy !== true && !copies.some((other) => isOwn(other) && other.text === copy.text)),
  );
  const isReady = ({ backend }: (typeof all)[number]): boolean => (backend.state ?? "ready") === "ready";
  const isTerminating = ({ backend }: (typeof all)[number]): boolean => backend.state === "terminating";
  const isLocal =
    kind === "ClusterIP" ? service.internalLocal === true : scope === "external" && service.externalLocal === true;
  let chosen: typeof all;
  if (isLocal) {
    const here = all.filter(({ backend }) => backend.node === node.name);
    chosen = here.some(isReady) ? here.filter(isReady) : here.filter(isTerminating);
  } else if (all.some(isReady)) {
    chosen = all.filter(isReady);
    const hasNodeHints = chosen.every(({ backend }) => (backend.nodeHints ?? []).length > 0);
    const hasZoneHints = chosen.every(({ backend }) => (backend.zoneHints ?? []).length > 0);
    const forNode = chosen.filter(({ backend }) => (backend.nodeHints ?? []).includes(node.name));
    const forZone = chosen.filter(({ backend }) => node.zone !== "" && (backend.zoneHints ?? []).includes(node.zone));
    if (hasNodeHints && forNode.length > 0) chosen = forNode;
    else if (hasZoneHints && forZone.length > 0) chosen = forZone;
  } else {
    chosen = all.filter(isTerminating);
  }
  const texts = [...new Set(chosen.map(({ text }) => text))].toSorted();
  if (texts.length > 0) return { action: "forward", chosen: texts };
  return { action: all.some((one) => isReady(one) || isTerminating(one)) ? "drop" : "reject", chosen: [] };
}
