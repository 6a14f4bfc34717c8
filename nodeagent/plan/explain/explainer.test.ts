import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePrefix, parseSocketAddress, type Prefix } from "@weft/proto/address.ts";
import { resourceId } from "@weft/proto/ids.ts";
import { describedAddress, describedBackend, describedService } from "../described-cluster.ts";
import type { DescribedBackend, DescribedService } from "../described-cluster.ts";
import type { ProtocolName } from "../frontend.ts";
import { planInput, planNode, type PlanNodeOptions } from "../plan-input.ts";
import { Explainer, type Trail } from "./explainer.ts";
import { flowAnswerLine, type Flow, type FlowAnswer } from "./flow.ts";

const pod = "10.0.0.7";
const node = "192.168.1.1";
const outside = "203.0.113.9";
const clusterIp = "172.30.0.1:80";
const external = "192.0.2.1:80";
const loadBalancer = "192.0.2.2:80";
const nodePort = "192.168.1.1:30080";

const here = { node: "here" };
const away = { node: "away" };

interface Case {
  readonly rule: string;
  readonly is: string;
  readonly from: string;
  readonly to: string;
  readonly protocol?: ProtocolName;
  /** Added to a service a/web with all kinds of frontend on the TCP port http 80. */
  readonly service?: Partial<DescribedService>;
  /** Default: one here, one away, ready. */
  readonly backends?: readonly Partial<DescribedBackend>[];
  readonly options?: PlanNodeOptions;
  /** Default: 10.0.0.0/16. */
  readonly clusterCidrs?: readonly string[];
  readonly serviceCidrs?: readonly string[];
  /** "verdict service frontend backends", "snat" behind it if so. */
  readonly answer: string;
  readonly reason: RegExp;
}

const both = "10.0.0.1:8080 10.0.0.2:8080";

const cases: readonly Case[] = [
  {
    rule: "S9",
    is: "a pod is internal",
    from: pod,
    to: clusterIp,
    answer: `forward a/web:http ClusterIP ${both}`,
    reason: /^internalTrafficPolicy Cluster: endpoints of the whole cluster; 2 ready endpoints$/,
  },
  {
    rule: "S9",
    is: "an address of the node comes before the cluster CIDR",
    from: node,
    to: external,
    clusterCidrs: ["192.168.0.0/16"],
    answer: `forward a/web:http ExternalIP ${both}`,
    reason: /2 ready/,
  },
  {
    rule: "S8",
    is: "a loopback source is the node",
    from: "127.0.0.1",
    to: nodePort,
    answer: `forward a/web:http NodePort ${both}`,
    reason: /2 ready/,
  },
  {
    rule: "S8",
    is: "127.0.0.1 is a frontend for the node",
    from: "127.0.0.1",
    to: "127.0.0.1:30080",
    options: { nodePortAddresses: [describedAddress("127.0.0.1")] },
    answer: `forward a/web:http NodePort ${both}`,
    reason: /2 ready/,
  },
  ...[
    { is: "127.0.0.1 in a pod is the pod's own", from: pod },
    { is: "127.0.0.1 from outside is nobody's", from: outside },
  ].map(({ is, from }) => ({
    rule: "S8",
    is,
    from,
    to: "127.0.0.1:30080",
    options: { nodePortAddresses: [describedAddress("127.0.0.1")] },
    answer: "pass - -",
    reason: new RegExp(`^127\\.0\\.0\\.1 is a loopback address, and ${from} is not this node: passed as it is$`),
  })),
  {
    rule: "S8",
    is: "a NodePort on an address that is not selected is nobody's",
    from: outside,
    to: nodePort,
    options: { nodePortAddresses: [] },
    answer: "pass - -",
    reason: /^no service has 192\.168\.1\.1:30080\/TCP: passed as it is$/,
  },
  {
    rule: "S10",
    is: "a ClusterIP from outside is source-NATed if the cluster CIDR is known",
    from: outside,
    to: clusterIp,
    answer: `forward a/web:http ClusterIP ${both} snat`,
    reason: /2 ready endpoints$/,
  },
  {
    rule: "S10",
    is: "a ClusterIP from outside keeps its source without a cluster CIDR of the family, and doubt is said",
    from: outside,
    to: clusterIp,
    clusterCidrs: ["fd01::/48"],
    answer: `forward a/web:http ClusterIP ${both}`,
    reason: /; no cluster CIDR of IPv4 is known, so only what arrives on a device is external/,
  },
  {
    rule: "S10",
    is: "other kinds are source-NATed from outside, with a cluster CIDR or without",
    from: outside,
    to: external,
    clusterCidrs: [],
    answer: `forward a/web:http ExternalIP ${both} snat`,
    reason: /no cluster CIDR/,
  },
  {
    rule: "S10",
    is: "externalTrafficPolicy Local keeps the source from outside and stays on the node",
    from: outside,
    to: loadBalancer,
    service: { externalLocal: true },
    answer: "forward a/web:http LoadBalancerIP 10.0.0.1:8080",
    reason: /^externalTrafficPolicy Local: endpoints on this node only; 1 ready endpoint on this node$/,
  },
  {
    rule: "S10",
    is: "externalTrafficPolicy Local is short-circuited for pods",
    from: pod,
    to: nodePort,
    service: { externalLocal: true },
    answer: `forward a/web:http NodePort ${both}`,
    reason: /^externalTrafficPolicy Local does not concern pods and the node/,
  },
  {
    rule: "S13",
    is: "internalTrafficPolicy Local concerns a ClusterIP from outside too",
    from: outside,
    to: clusterIp,
    service: { internalLocal: true },
    answer: "forward a/web:http ClusterIP 10.0.0.1:8080 snat",
    reason: /^internalTrafficPolicy Local/,
  },
  {
    rule: "S6",
    is: "an undefined port of a ClusterIP is rejected",
    from: pod,
    to: "172.30.0.1:81",
    answer: "reject - ClusterIP",
    reason: /^81\/TCP is no port of a\/web, which has the ClusterIP 172\.30\.0\.1: rejected$/,
  },
  {
    rule: "S6",
    is: "an undefined protocol of a ClusterIP is rejected, from outside too",
    from: outside,
    to: clusterIp,
    protocol: "UDP",
    answer: "reject - ClusterIP",
    reason: /^80\/UDP is no port/,
  },
  {
    rule: "S6",
    is: "an undefined port of another address is passed",
    from: pod,
    to: "192.0.2.1:81",
    answer: "pass - -",
    reason: /passed as it is$/,
  },
  {
    rule: "S6",
    is: "an unassigned address of a service CIDR is dropped",
    from: pod,
    to: "172.30.0.9:80",
    serviceCidrs: ["172.30.0.0/16"],
    answer: "drop - -",
    reason: /^172\.30\.0\.9 is in a service CIDR/,
  },
  {
    rule: "S6",
    is: "an unassigned address is passed while no service CIDR is known",
    from: pod,
    to: "172.30.0.9:80",
    serviceCidrs: ["fd00::/108"],
    answer: "pass - -",
    reason: /passed/,
  },
  {
    rule: "S15",
    is: "a source outside the ranges is dropped, though there is no endpoint",
    from: pod,
    to: loadBalancer,
    service: { sourceRanges: ["203.0.113.0/24"] },
    backends: [],
    answer: "drop a/web:http LoadBalancerIP",
    reason: /^source is not in the allowed source ranges 203\.0\.113\.0\/24: dropped$/,
  },
  {
    rule: "S15",
    is: "a source inside the ranges meets the endpoints",
    from: outside,
    to: loadBalancer,
    service: { sourceRanges: ["203.0.113.0/24"] },
    backends: [],
    answer: "reject a/web:http LoadBalancerIP",
    reason: /no endpoint: rejected$/,
  },
  {
    rule: "S15",
    is: "ranges do not guard other kinds",
    from: outside,
    to: external,
    service: { sourceRanges: ["10.0.0.0/8"] },
    answer: `forward a/web:http ExternalIP ${both} snat`,
    reason: /2 ready/,
  },
  {
    rule: "S19",
    is: "Local with usable endpoints elsewhere only is a drop",
    from: outside,
    to: nodePort,
    service: { externalLocal: true },
    backends: [{ address: "10.0.0.2", ...away }],
    answer: "drop a/web:http NodePort",
    reason: /none of the 1 usable endpoint is on this node: dropped$/,
  },
  {
    rule: "S23",
    is: "the terminating fallback is named",
    from: pod,
    to: clusterIp,
    backends: [
      { address: "10.0.0.1", state: "terminating" },
      { address: "10.0.0.2", state: "not-ready" },
    ],
    answer: "forward a/web:http ClusterIP 10.0.0.1:8080",
    reason: /; no ready endpoint: 1 terminating but still serving$/,
  },
  {
    rule: "S24",
    is: "zone hints are named",
    from: pod,
    to: clusterIp,
    backends: [
      { address: "10.0.0.1", zoneHints: ["z1"] },
      { address: "10.0.0.2", zoneHints: ["z2"] },
    ],
    answer: "forward a/web:http ClusterIP 10.0.0.1:8080",
    reason: /; zone hints: 1 of 2 ready endpoints for zone z1$/,
  },
  {
    rule: "S24",
    is: "node hints are named",
    from: pod,
    to: clusterIp,
    backends: [
      { address: "10.0.0.1", nodeHints: ["away"] },
      { address: "10.0.0.2", nodeHints: ["here"] },
    ],
    answer: "forward a/web:http ClusterIP 10.0.0.2:8080",
    reason: /; node hints: 1 of 2 ready endpoints for this node$/,
  },
  {
    rule: "S32",
    is: "a local ClusterIP is passed, undefined ports too",
    from: pod,
    to: "172.30.0.1:81",
    options: { localAddresses: new Set([describedAddress("172.30.0.1")]) },
    serviceCidrs: ["172.30.0.0/16"],
    answer: "pass - -",
    reason: /^172\.30\.0\.1 is a ClusterIP of a\/web that this node passes/,
  },
  {
    rule: "S32",
    is: "a local ClusterIP is served from outside",
    from: outside,
    to: clusterIp,
    options: { localAddresses: new Set([describedAddress("172.30.0.1")]) },
    answer: `forward a/web:http ClusterIP ${both} snat`,
    reason: /2 ready/,
  },
  {
    rule: "S32",
    is: "undefined ports of a local ClusterIP are rejected from outside",
    from: outside,
    to: "172.30.0.1:81",
    service: { nodeLocalPass: true },
    answer: "reject - ClusterIP",
    reason: /is no port of a\/web/,
  },
  {
    rule: "S33",
    is: "SCTP is answered, and said not to be served",
    from: pod,
    to: clusterIp,
    protocol: "SCTP",
    service: { ports: [{ name: "http", protocol: "SCTP", port: 80 }] },
    backends: [{ address: "10.0.0.1", ports: [{ name: "http", protocol: "SCTP", number: 90 }] }],
    answer: "forward a/web:http ClusterIP 10.0.0.1:90",
    reason: /; planned but not served: the kernel runs no connect hook for SCTP$/,
  },
];

describe("answers", () => {
  for (const { rule, is, answer, reason, ...given } of cases) {
    it(`${rule}: ${is}`, () => {
      const found = explain(given).answer;
      assert.equal(print(found), answer);
      assert.match(found.reason, reason);
    });
  }

  it("S4, S5: affinity is the service's, also of a drop, and 0 without a service", () => {
    const service = { affinitySeconds: 60, sourceRanges: ["10.9.0.0/16"] };
    for (const [to, seconds] of [
      [clusterIp, 60],
      [loadBalancer, 60],
      ["172.30.0.1:81", 0],
      ["192.0.2.1:81", 0],
    ] as const) {
      assert.equal(explain({ from: outside, to, service }).answer.affinitySeconds, seconds, to);
    }
  });

  it("prints a line in the contract's key order", () => {
    assert.equal(
      flowAnswerLine(explain({ from: pod, to: clusterIp }).answer),
      '{"verdict":"forward","service":"a/web:http","frontend":"ClusterIP","backends":["10.0.0.1:8080","10.0.0.2:8080"],' +
        '"snat":false,"affinitySeconds":0,' +
        '"reason":"internalTrafficPolicy Cluster: endpoints of the whole cluster; 2 ready endpoints"}',
    );
  });
});

const leftOut: readonly {
  readonly is: string;
  readonly service?: Partial<DescribedService>;
  readonly from?: string;
  readonly to?: string;
  readonly backends: readonly Partial<DescribedBackend>[];
  readonly leftOut: readonly string[];
}[] = [
  {
    is: "for their conditions",
    backends: [
      { address: "10.0.0.1" },
      { address: "10.0.0.2", state: "not-ready" },
      { address: "10.0.0.3", state: "terminating" },
      { address: "10.0.0.4", state: "terminated" },
    ],
    leftOut: [
      "10.0.0.2:8080 not ready",
      "10.0.0.3:8080 terminating while others are ready",
      "10.0.0.4:8080 terminating and not serving",
    ],
  },
  {
    is: "for the policy",
    service: { internalLocal: true },
    backends: [
      { address: "10.0.0.1", ...here },
      { address: "10.0.0.2", ...away },
      { address: "10.0.0.3", state: "not-ready" },
    ],
    leftOut: ["10.0.0.2:8080 on node away", "10.0.0.3:8080 on no node"],
  },
  {
    is: "for the zone",
    backends: [
      { address: "10.0.0.1", zoneHints: ["z1"] },
      { address: "10.0.0.2", zoneHints: ["z2"] },
    ],
    leftOut: ["10.0.0.2:8080 its hints are for zone z2"],
  },
  {
    is: "for the node",
    backends: [
      { address: "10.0.0.1", nodeHints: ["here"] },
      { address: "10.0.0.2", nodeHints: ["away"] },
    ],
    leftOut: ["10.0.0.2:8080 its hints are for node away"],
  },
  {
    is: "as copies that this node's own takes the place of",
    backends: [
      { address: "10.0.0.1", ...away },
      { address: "10.0.0.1", ...here, localCopy: true },
    ],
    leftOut: ["10.0.0.1:8080 a copy in another slice says otherwise; the one of this node counts here"],
  },
  {
    is: "not at all for a source that is blocked",
    service: { sourceRanges: ["10.9.0.0/16"] },
    to: loadBalancer,
    backends: [{ address: "10.0.0.2", state: "not-ready" }],
    leftOut: [],
  },
];

describe("endpoints are left out", () => {
  for (const { is, leftOut: expected, ...given } of leftOut) {
    it(is, () => {
      const { trail } = explain({ from: pod, to: clusterIp, ...given });
      assert.deepEqual(
        trail.leftOut.map(({ endpoint, reason }) => `${endpoint} ${reason}`),
        expected,
      );
    });
  }
});

const trails: readonly (Pick<Case, "is" | "from" | "to" | "service" | "backends"> & {
  readonly steps: readonly string[];
})[] = [
  {
    is: "a forward from outside names source, frontend, ranges, policy, endpoints, affinity and source NAT",
    from: outside,
    to: loadBalancer,
    service: { sourceRanges: ["203.0.113.0/24"], affinitySeconds: 60 },
    steps: [
      "source: 203.0.113.9 is outside of the node and the cluster CIDRs: external",
      "frontend: LoadBalancerIP 192.0.2.2:80/TCP of service a/web:http",
      "ranges: source is in the allowed source ranges 203.0.113.0/24",
      "policy: externalTrafficPolicy Cluster: endpoints of the whole cluster",
      "endpoints: 2 ready endpoints",
      "affinity: a client stays with its backend for 60 s",
      "source NAT: yes: externalTrafficPolicy Cluster",
    ],
  },
  {
    is: "S31: a refused connect() names its error",
    from: pod,
    to: clusterIp,
    backends: [],
    steps: [
      "source: 10.0.0.7 is a pod, inside a cluster CIDR: internal",
      "frontend: ClusterIP 172.30.0.1:80/TCP of service a/web:http",
      "policy: internalTrafficPolicy Cluster: endpoints of the whole cluster",
      "endpoints: no endpoint: rejected",
      "socket: connect() and sendmsg() fail at once with ECONNREFUSED",
    ],
  },
  {
    is: "S31: a dropped connect() names its error",
    from: node,
    to: clusterIp,
    service: { internalLocal: true },
    backends: [{ address: "10.0.0.2", ...away }],
    steps: [
      "source: 192.168.1.1 is this node: internal",
      "frontend: ClusterIP 172.30.0.1:80/TCP of service a/web:http",
      "policy: internalTrafficPolicy Local: endpoints on this node only",
      "endpoints: none of the 1 usable endpoint is on this node: dropped",
      "socket: connect() and sendmsg() fail at once with EHOSTUNREACH",
    ],
  },
  {
    is: "S31: a source that is blocked at the socket",
    from: pod,
    to: loadBalancer,
    service: { sourceRanges: ["203.0.113.0/24"] },
    steps: [
      "source: 10.0.0.7 is a pod, inside a cluster CIDR: internal",
      "frontend: LoadBalancerIP 192.0.2.2:80/TCP of service a/web:http",
      "ranges: source is not in the allowed source ranges 203.0.113.0/24",
      "socket: a socket bound to this source fails at connect() with EHOSTUNREACH; any other times out",
    ],
  },
];

describe("trails", () => {
  for (const { is, steps, ...given } of trails) {
    it(is, () =>
      assert.deepEqual(
        explain(given).trail.steps.map(({ title, text }) => `${title}: ${text}`),
        steps,
      ),
    );
  }
});

function explain(given: Omit<Case, "rule" | "is" | "answer" | "reason">): {
  readonly answer: FlowAnswer;
  readonly trail: Trail;
} {
  const service = describedService({
    name: "a/web",
    clusterIps: ["172.30.0.1"],
    externalIps: ["192.0.2.1"],
    loadBalancerIps: ["192.0.2.2"],
    ports: [{ name: "http", port: 80, nodePort: 30_080 }],
    ...given.service,
  });
  const backends = given.backends ?? [
    { address: "10.0.0.1", ...here },
    { address: "10.0.0.2", ...away },
  ];
  const input = planInput(
    [service],
    backends.map((backend) =>
      describedBackend({ service: "a/web", address: "", ports: [{ name: "http", number: 8_080 }], ...backend }),
    ),
  );
  const names = new Map(["here", "away", "z1", "z2"].map((name) => [resourceId("name", name) as bigint, name]));
  const explainer = new Explainer(input, planNode("here", "z1", [describedAddress(node)], given.options), {
    clusterCidrs: (given.clusterCidrs ?? ["10.0.0.0/16"]).map(prefix),
    serviceCidrs: (given.serviceCidrs ?? []).map(prefix),
    nameOf: (id) => names.get(id),
  });
  const to = parseSocketAddress(given.to);
  assert.ok(to !== undefined, given.to);
  const flow: Flow = {
    from: describedAddress(given.from),
    to: to.address,
    port: to.port,
    protocol: given.protocol ?? "TCP",
  };
  return { answer: explainer.answer(flow), trail: explainer.trail(flow) };
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

function print({ verdict, service, frontend, backends, snat }: FlowAnswer): string {
  return [verdict, service ?? "-", frontend ?? "-", ...backends, ...(snat ? ["snat"] : [])].join(" ");
}
