/**
 * The shell text that makes a lab's network. Text and not calls, because one `sh` with batches of `ip` makes a cluster in tens of
 * milliseconds. Nothing outside the lab's own namespaces is touched: devices are created straight into them.
 *
 * ```
 * fabric ── bridge ─┬─ control          eth0
 *                   ├─ node-1           eth0   pods (bridge, gateway) ─┬─ pod-a  eth0
 *                   └─ node-2 …                                        └─ pod-b  eth0
 * ```
 */
import type { AddressPair } from "./address-plan.ts";
import {
  controlAddresses,
  gatewayAddresses,
  labPrefixes,
  nodeAddresses,
  podPrefixes,
  serviceCidrs,
} from "./address-plan.ts";
import { namespaceName, namespacePath } from "./lab-paths.ts";

export interface PodPlace {
  readonly name: string;
  /** Number of its node, from 1. */
  readonly node: number;
  /** Number on its node, from 1. */
  readonly slot: number;
  readonly addresses: AddressPair;
}

/** Fabric, control plane and nodes, without pods. */
export function clusterScript(lab: string, nodes: number): string {
  const numbers = Array.from({ length: nodes }, (_, i) => i + 1);
  const fabric = namespaceName(lab, "fabric");
  const control = namespaceName(lab, "control");
  const links = [
    `netns add ${fabric}`,
    `netns add ${control}`,
    `link add eth0 netns ${control} type veth peer name control netns ${fabric}`,
    ...numbers.flatMap((node) => [
      `netns add ${nodeNamespace(lab, node)}`,
      `link add eth0 netns ${nodeNamespace(lab, node)} type veth peer name node-${node} netns ${fabric}`,
    ]),
  ];
  const ports = ["control", ...numbers.map((node) => `node-${node}`)];
  return [
    "set -e",
    batch(links),
    inside(
      fabric,
      [],
      [
        // Snooping would hold back neighbour discovery until the bridge has learned who listens.
        "link add fabric type bridge mcast_snooping 0",
        "link set lo up",
        "link set fabric up",
        ...ports.flatMap((port) => [`link set ${port} master fabric`, `link set ${port} up`]),
      ],
    ),
    inside(control, noDuplicateDetection, [
      "link set lo up",
      "link set eth0 up",
      ...addressLines("eth0", controlAddresses, 24, 64),
    ]),
    ...numbers.map((node) => nodeScript(lab, node, numbers)),
  ].join("\n");
}

/** Namespaces of pods, each connected to its node. */
export function podsScript(lab: string, pods: readonly PodPlace[]): string {
  const links = pods.flatMap((pod) => {
    const node = nodeNamespace(lab, pod.node);
    const port = podPort(pod);
    return [
      `netns add ${podNamespace(lab, pod.name)}`,
      `link add eth0 netns ${podNamespace(lab, pod.name)} type veth peer name ${port} netns ${node}`,
    ];
  });
  const nodes = [...new Set(pods.map((pod) => pod.node))];
  return [
    "set -e",
    batch(links),
    ...nodes.map((node) =>
      inside(
        nodeNamespace(lab, node),
        [],
        pods
          .filter((pod) => pod.node === node)
          .flatMap((pod) => [`link set ${podPort(pod)} master pods`, `link set ${podPort(pod)} up`]),
      ),
    ),
    ...pods.map((pod) => {
      const gateway = gatewayAddresses(pod.node);
      return inside(podNamespace(lab, pod.name), noDuplicateDetection, [
        "link set lo up",
        "link set eth0 up",
        ...addressLines("eth0", pod.addresses, 24, 64),
        // No default route: what the socket hooks leave alone is refused at once, by the pod's own kernel. A router would say so
        // too, but not each time (error_cost in ip-sysctl), and silence is to mean that a packet was dropped.
        // Service addresses have one, which leads to the node: some of them are on a device there (NodeLocal DNSCache).
        ...[...labPrefixes, ...serviceCidrs].map(
          (prefix) => `route add ${prefix} via ${prefix.includes(":") ? gateway.v6 : gateway.v4}`,
        ),
      ]);
    }),
  ].join("\n");
}

/** Lines of `ip` inside a node's namespace. */
export function nodeConfigurationScript(lab: string, node: number, ipLines: readonly string[]): string {
  return `set -e\n${inside(nodeNamespace(lab, node), [], ipLines)}`;
}

export function removeNamespacesScript(namespaces: readonly string[]): string {
  return batch(namespaces.map((namespace) => `netns del ${namespace}`));
}

export function nodeNamespace(lab: string, node: number): string {
  return namespaceName(lab, `node-${node}`);
}

export function podNamespace(lab: string, pod: string): string {
  return namespaceName(lab, `pod-${pod}`);
}

// Addresses work at once, instead of after the seconds in which duplicates are looked for; also the link-local one, from which
// neighbours are asked. The largest of "all" and the device's own value counts, and eth0 exists already.
const noDuplicateDetection = ["all", "default", "eth0"].map(
  (device) => `echo 0 > /proc/sys/net/ipv6/conf/${device}/accept_dad`,
);

function nodeScript(lab: string, node: number, all: readonly number[]): string {
  return inside(
    nodeNamespace(lab, node),
    [
      ...noDuplicateDetection,
      "echo 1 > /proc/sys/net/ipv4/ip_forward",
      "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
      "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
      "echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter",
    ],
    [
      // Of its own, and not the lowest of its ports: a pod that joins would change it, and neighbours would send to the old one.
      `link add pods address 02:77:00:00:00:${node.toString(16).padStart(2, "0")} type bridge mcast_snooping 0`,
      "link set lo up",
      "link set pods up",
      "link set eth0 up",
      ...addressLines("eth0", nodeAddresses(node), 24, 64),
      ...addressLines("pods", gatewayAddresses(node), 24, 64),
      ...all
        .filter((other) => other !== node)
        .flatMap((other) => [
          `route add ${podPrefixes(other).v4} via ${nodeAddresses(other).v4}`,
          `route add ${podPrefixes(other).v6} via ${nodeAddresses(other).v6}`,
        ]),
    ],
  );
}

function addressLines(device: string, addresses: AddressPair, length4: number, length6: number): string[] {
  return [
    `addr add ${addresses.v4}/${length4} dev ${device}`,
    `addr add ${addresses.v6}/${length6} dev ${device} nodad`,
  ];
}

function podPort(pod: PodPlace): string {
  return `pod-${pod.slot}`;
}

function inside(namespace: string, commands: readonly string[], ipLines: readonly string[]): string {
  return [`nsenter --net=${namespacePath(namespace)} sh -e <<'INSIDE'`, ...commands, batch(ipLines), "INSIDE"].join(
    "\n",
  );
}

function batch(lines: readonly string[]): string {
  return ["ip -batch - <<'BATCH'", ...lines, "BATCH"].join("\n");
}
