/** Random clusters as API objects, small and dense, so that services, copies and addresses meet; for tests. */
import * as fc from "fast-check";
import type { NaiveFlow, NaiveService, NaiveSlice, NaiveWorld } from "./naive-rules.ts";

const nodes = ["n1", "n2", "n3"];
const zones = ["z1", "z2"];
const clusterIps = { 4: ["172.30.0.1", "172.30.0.2", "172.30.0.3"], 6: ["fd00::1", "fd00::2"] };
const nodeIps = ["192.168.1.1", "192.168.1.2", "198.51.100.9", "2001:db8:1::1", "2001:db8:1::2"];
const publicIps = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "172.30.0.1", "172.30.0.9", "192.168.1.1"];
const podIps = ["10.0.0.1", "10.0.0.2", "10.0.1.10", "fd01::1", "fd01::2", "fd01::10"];
const ranges = [
  "10.0.0.0/24",
  "192.168.1.0/24",
  "203.0.113.0/25",
  "0.0.0.0/0",
  "192.0.2.2/32",
  "fd01::/16",
  "2001:db8:1::2/128",
];
const sources = [
  "10.0.0.1",
  "10.0.7.7",
  "192.168.1.1",
  "192.168.1.2",
  "192.168.9.9",
  "203.0.113.7",
  "127.0.0.1",
  "192.0.2.2",
];
const sourcesSix = ["fd01::7", "2001:db8:1::1", "2001:db8:1::2", "2001:db8:9::9", "::1", "2001:db8::1"];

const subset = <T>(of: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...of]);
const seldom = <T>(value: T, otherwise: T): fc.Arbitrary<T> =>
  fc.oneof({ weight: 1, arbitrary: fc.constant(value) }, { weight: 9, arbitrary: fc.constant(otherwise) });
const policy = fc.constantFrom("Cluster", "Local", undefined);

// Names, protocols and numbers that differ within one service, as the API wants them.
const servicePorts = fc
  .tuple(
    fc.constantFrom(30_080, 30_080, undefined),
    fc.constantFrom("UDP", "UDP", "TCP"),
    fc.constantFrom(53, 81, 30_080),
    fc.constantFrom("", "dns"),
    fc.constantFrom(30_053, undefined),
    fc.constantFrom(1, 2, 3, 3, 7),
  )
  .map(([nodePort, protocol, port, name, secondNodePort, which]) =>
    [
      { name: "http", protocol: "TCP", port: 80, nodePort },
      { name, protocol, port, nodePort: secondNodePort },
      { name: "sctp", protocol: "SCTP", port: 80, nodePort: 30_080 },
    ].filter((_, i) => which & (1 << i)),
  );

const service = (namespace: string, name: string): fc.Arbitrary<NaiveService> =>
  fc.record({
    namespace: fc.constant(namespace),
    name: fc.constant(name),
    type: fc.constantFrom("ClusterIP", "ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer", "ExternalName"),
    labels: seldom<Record<string, string>>(
      { "service.kubernetes.io/service-proxy-name": "" },
      { "service.kubernetes.io/headless": "" },
    ),
    annotations: seldom<Record<string, string>>({ "weft.dev/node-local": "pass" }, {}),
    clusterIPs: fc.oneof(
      { weight: 1, arbitrary: fc.constantFrom<string[][]>([], ["None"]) },
      {
        weight: 12,
        arbitrary: fc
          .tuple(fc.constantFrom(...clusterIps[4]), fc.constantFrom(...clusterIps[6]), fc.constantFrom(1, 2, 3))
          .map(([four, six, families]) => [...(families & 1 ? [four] : []), ...(families & 2 ? [six] : [])]),
      },
    ),
    ports: servicePorts,
    externalIPs: subset(publicIps),
    ingress: fc.array(
      fc.record(
        {
          ip: fc.constantFrom(...publicIps),
          ipMode: fc.constantFrom("VIP", "Proxy"),
          hostname: fc.constant("lb.test"),
        },
        { requiredKeys: [] },
      ),
      { maxLength: 2 },
    ),
    externalTrafficPolicy: policy,
    internalTrafficPolicy: policy,
    affinitySeconds: fc.constantFrom(0, 0, 60, 10_800),
    loadBalancerSourceRanges: fc.oneof(
      { weight: 2, arbitrary: fc.constant([]) },
      { weight: 3, arbitrary: subset(ranges) },
      { weight: 1, arbitrary: seldom(["10.0.0.0/24", "nonsense"], []) },
    ),
  }) as fc.Arbitrary<NaiveService>;

const slicePort = (name: string, ...by: readonly (string | undefined)[]): fc.Arbitrary<NaiveSlice["ports"][number]> =>
  fc.record({
    name: fc.constantFrom(name, name, name, name === "" ? "sctp" : undefined),
    protocol: fc.constantFrom(...by),
    port: fc.constantFrom(8_080, 8_080, 8_080, 53, null),
  }) as fc.Arbitrary<NaiveSlice["ports"][number]>;

const sliceOf = (namespace: string, name: string, index: number): fc.Arbitrary<NaiveSlice> =>
  fc.constantFrom("IPv4", "IPv4", "IPv4", "IPv6", "IPv6", "FQDN").chain(
    (addressType) =>
      fc.record({
        namespace: fc.constant(namespace),
        name: fc.constant(`${name}-${index}`),
        labels: seldom<Record<string, string>>(
          { "kubernetes.io/service-name": name, "service.kubernetes.io/headless": "" },
          { "kubernetes.io/service-name": name, "service.kubernetes.io/service-proxy-name": "other" },
        ),
        addressType: fc.constant(addressType),
        ports: fc.tuple(
          slicePort("http", "TCP", undefined),
          slicePort("dns", "UDP", "TCP"),
          slicePort("", "SCTP", "UDP"),
        ),
        endpoints: fc.array(
          fc.record({
            addresses: fc.tuple(
              fc.constantFrom(...podIps.filter((ip) => ip.includes(":") === (addressType === "IPv6"))),
              fc.constant("10.99.99.99"),
            ),
            nodeName: fc.constantFrom(...nodes, undefined),
            conditions: fc.constantFrom(
              {},
              {},
              { ready: true },
              { ready: false },
              { ready: false, serving: false },
              { ready: false, serving: true, terminating: true },
              { ready: false, terminating: true },
              { ready: false, serving: false, terminating: true },
              { ready: true, terminating: true },
            ),
            forZones: fc.oneof({ weight: 3, arbitrary: fc.constant(["z1"]) }, { weight: 2, arbitrary: subset(zones) }),
            forNodes: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 2, arbitrary: subset(nodes) }),
          }),
          { minLength: 1, maxLength: 5 },
        ),
      }) as fc.Arbitrary<NaiveSlice>,
  );

const names = [
  ["a", "x"],
  ["a", "y"],
  ["b", "x"],
] as const;

export const randomWorld: fc.Arbitrary<NaiveWorld> = fc.record({
  services: fc.tuple(...names.map(([namespace, name]) => service(namespace, name))),
  slices: fc
    .tuple(...names.flatMap(([namespace, name]) => [0, 1, 2].map((index) => sliceOf(namespace, name, index))))
    .map((slices) => slices.filter((_, i) => i % 4 !== 3)),
  node: fc.record({
    name: fc.constant("n1"),
    zone: fc.constantFrom("", "z1", "z2", "z3"),
    internalIPs: subset(nodeIps.slice(0, 4)),
    externalIPs: subset(nodeIps.slice(2)),
  }),
  serviceCidrs: subset(["172.30.0.0/24", "fd00::/108"]),
  clusterCidrs: subset(["10.0.0.0/16", "fd01::/48"]),
  nodePortAddresses: subset(["primary", "loopback", "192.168.1.2/31", "2001:db8:1::/48"]),
  localAddresses: subset(["172.30.0.1", "fd00::2", "192.0.2.1"]),
  localClusterIps: fc.constantFrom("pass", "pass", "serve"),
});

const noise = fc.record({
  to: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...clusterIps[4], ...clusterIps[6], ...publicIps) },
    { weight: 4, arbitrary: fc.constantFrom(...nodeIps, "127.0.0.1", "172.30.0.77", "fd00::7", "10.0.0.1") },
  ),
  port: fc.constantFrom(80, 81, 53, 30_080, 30_053),
  protocol: fc.constantFrom("TCP", "UDP", "SCTP"),
});

/** Most lead to something that a service asks for. */
export function randomFlows(world: NaiveWorld, count: number): fc.Arbitrary<NaiveFlow[]> {
  const { internalIPs, externalIPs } = world.node;
  const asked = world.services.flatMap(({ clusterIPs, ports, externalIPs: own, ingress }) =>
    ports.flatMap(({ protocol = "TCP", port, nodePort = 1 }) => [
      ...[...clusterIPs.filter((ip) => ip !== "None"), ...own, ...ingress.flatMap(({ ip }) => ip ?? [])].map((to) => ({
        to,
        port,
        protocol,
      })),
      ...[...internalIPs, ...externalIPs, "127.0.0.1"].map((to) => ({ to, port: nodePort, protocol })),
    ]),
  );
  const flow = fc
    .record({
      target: fc.oneof({ weight: 1, arbitrary: noise }, { weight: 4, arbitrary: fc.constantFrom(...asked) }),
      four: fc.constantFrom(...sources),
      six: fc.constantFrom(...sourcesSix),
      // A balancer that puts its address on the node (S15).
      isOwn: fc.constantFrom(false, false, false, false, true),
    })
    .map(({ target, four, six, isOwn }) => ({
      from: isOwn ? target.to : target.to.includes(":") ? six : four,
      ...target,
    }));
  return fc.array(flow, { minLength: count, maxLength: count });
}
