import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { printPrefix, printSocketAddress } from "@weft/proto/address.ts";
import { describedAddress, describedBackend, describedService } from "./described-cluster.ts";
import type { DescribedBackend, DescribedService } from "./described-cluster.ts";
import type { Frontend } from "./frontend.ts";
import { planInput, planNode, type LocalClusterIps, type PlanNodeOptions } from "./plan-input.ts";
import { compareFrontends } from "./plan-line.ts";
import { planOnce } from "./plan-node.ts";

interface Case {
  readonly rule: string;
  readonly is: string;
  /** Added to a service a/web of ClusterIP 172.30.0.1 with the TCP port http 80. */
  readonly service?: Partial<DescribedService>;
  readonly backends?: readonly Partial<DescribedBackend>[];
  readonly zone?: string;
  readonly nodeAddresses?: readonly string[];
  readonly nodePortAddresses?: readonly string[];
  readonly localAddresses?: readonly string[];
  readonly localClusterIps?: LocalClusterIps;
  /** "scope kind address:port/protocol action targets", in order. */
  readonly plan: readonly string[];
}

const here = { node: "here" };
const away = { node: "away" };
const v4 = "172.30.0.1:80/TCP";

const cases: readonly Case[] = [
  {
    rule: "S3",
    is: "a ClusterIP has both scopes",
    backends: [{ address: "10.0.0.2" }, { address: "10.0.0.1" }],
    plan: [
      `external ClusterIP ${v4} forward 10.0.0.1:8080 10.0.0.2:8080`,
      `internal ClusterIP ${v4} forward 10.0.0.1:8080 10.0.0.2:8080`,
    ],
  },
  {
    rule: "S1",
    is: "ports are matched by name and protocol, and the target number is the backend's",
    service: {
      ports: [
        { name: "http", port: 80 },
        { name: "http", protocol: "UDP", port: 80 },
        { name: "admin", port: 81 },
      ],
    },
    backends: [
      {
        address: "10.0.0.1",
        ports: [
          { name: "http", number: 1 },
          { name: "http", protocol: "UDP", number: 2 },
        ],
      },
    ],
    plan: [
      `external ClusterIP ${v4} forward 10.0.0.1:1`,
      `internal ClusterIP ${v4} forward 10.0.0.1:1`,
      `external ClusterIP 172.30.0.1:80/UDP forward 10.0.0.1:2`,
      `internal ClusterIP 172.30.0.1:80/UDP forward 10.0.0.1:2`,
      `external ClusterIP 172.30.0.1:81/TCP reject`,
      `internal ClusterIP 172.30.0.1:81/TCP reject`,
    ],
  },
  {
    rule: "S20",
    is: "one address appears with two numbers, ordered by bytes and number",
    backends: [
      { address: "10.0.0.9", ports: [{ name: "http", number: 9 }] },
      {
        address: "10.0.0.10",
        ports: [
          { name: "http", number: 81 },
          { name: "http", number: 9 },
        ],
      },
    ],
    plan: both(`ClusterIP ${v4} forward 10.0.0.9:9 10.0.0.10:9 10.0.0.10:81`),
  },
  {
    rule: "S3",
    is: "an IPv6 family has its own backends",
    service: { clusterIps: ["172.30.0.1", "fd00::1"] },
    backends: [{ address: "fd00:1::5" }],
    plan: [...both(`ClusterIP ${v4} reject`), ...both(`ClusterIP [fd00::1]:80/TCP forward [fd00:1::5]:8080`)],
  },
  {
    rule: "S11",
    is: "a family without ClusterIP is served nowhere",
    service: {
      ports: [{ name: "http", port: 80, nodePort: 30_080 }],
      externalIps: ["192.0.2.1", "2001:db8::1"],
      loadBalancerIps: ["198.51.100.1", "2001:db8::2"],
    },
    nodeAddresses: ["10.9.0.1", "2001:db8:9::1"],
    backends: [{ address: "10.0.0.1" }, { address: "fd00:1::5" }],
    plan: [
      ...both(`NodePort 10.9.0.1:30080/TCP forward 10.0.0.1:8080`),
      ...both(`ClusterIP ${v4} forward 10.0.0.1:8080`),
      ...both(`ExternalIP 192.0.2.1:80/TCP forward 10.0.0.1:8080`),
      ...both(`LoadBalancerIP 198.51.100.1:80/TCP forward 10.0.0.1:8080`),
    ],
  },
  {
    rule: "S8",
    is: "NodePorts are on every address they are given, loopback for the internal scope only, never ::1",
    service: { clusterIps: ["172.30.0.1", "fd00::1"], ports: [{ name: "http", port: 80, nodePort: 30_080 }] },
    nodeAddresses: ["10.9.0.1", "10.9.0.2"],
    nodePortAddresses: ["10.9.0.2", "127.0.0.1", "::1"],
    plan: [
      ...both("NodePort 10.9.0.2:30080/TCP reject"),
      "internal NodePort 127.0.0.1:30080/TCP reject",
      ...both(`ClusterIP ${v4} reject`),
      ...both("ClusterIP [fd00::1]:80/TCP reject"),
    ],
  },
  {
    rule: "S17",
    is: "an address that is both load-balancer and external IP is one frontend of kind LoadBalancerIP",
    service: { externalIps: ["192.0.2.1"], loadBalancerIps: ["192.0.2.1"] },
    plan: [...both(`ClusterIP ${v4} reject`), ...both("LoadBalancerIP 192.0.2.1:80/TCP reject")],
  },
  {
    rule: "S13",
    is: "iTP Local concerns the ClusterIP only, in both scopes",
    service: { internalLocal: true, externalIps: ["192.0.2.1"] },
    backends: [
      { address: "10.0.0.1", ...here },
      { address: "10.0.0.2", ...away },
    ],
    plan: [
      ...both(`ClusterIP ${v4} forward 10.0.0.1:8080`),
      ...both("ExternalIP 192.0.2.1:80/TCP forward 10.0.0.1:8080 10.0.0.2:8080"),
    ],
  },
  {
    rule: "S13",
    is: "eTP Local concerns all but the ClusterIP, and the external scope only",
    service: { externalLocal: true, externalIps: ["192.0.2.1"], loadBalancerIps: ["192.0.2.2"] },
    backends: [
      { address: "10.0.0.1", ...here },
      { address: "10.0.0.2", ...away },
    ],
    plan: [
      ...both(`ClusterIP ${v4} forward 10.0.0.1:8080 10.0.0.2:8080`),
      "external ExternalIP 192.0.2.1:80/TCP forward 10.0.0.1:8080",
      "internal ExternalIP 192.0.2.1:80/TCP forward 10.0.0.1:8080 10.0.0.2:8080",
      "external LoadBalancerIP 192.0.2.2:80/TCP forward 10.0.0.1:8080",
      "internal LoadBalancerIP 192.0.2.2:80/TCP forward 10.0.0.1:8080 10.0.0.2:8080",
    ],
  },
  {
    rule: "S19",
    is: "a Local policy with endpoints elsewhere only is a drop",
    service: { externalLocal: true, internalLocal: true, externalIps: ["192.0.2.1"] },
    backends: [{ address: "10.0.0.2", ...away }],
    plan: [
      ...both(`ClusterIP ${v4} drop`),
      "external ExternalIP 192.0.2.1:80/TCP drop",
      "internal ExternalIP 192.0.2.1:80/TCP forward 10.0.0.2:8080",
    ],
  },
  {
    rule: "S19",
    is: "a Local policy with no usable endpoint anywhere is a reject",
    service: { externalLocal: true, internalLocal: true, externalIps: ["192.0.2.1"] },
    backends: [
      { address: "10.0.0.2", ...away, state: "not-ready" },
      { address: "10.0.0.3", ...here, state: "terminated" },
    ],
    plan: [...both(`ClusterIP ${v4} reject`), ...both("ExternalIP 192.0.2.1:80/TCP reject")],
  },
  {
    rule: "S21",
    is: "a local copy of this node replaces the others' same endpoint, and only that",
    backends: [
      { address: "10.0.0.1", ...away },
      { address: "10.0.0.1", ...here, state: "not-ready", localCopy: true },
      { address: "10.0.0.1", ports: [{ name: "http", number: 9 }], ...away },
      { address: "10.0.0.2", ...away },
    ],
    plan: both(`ClusterIP ${v4} forward 10.0.0.1:9 10.0.0.2:8080`),
  },
  {
    rule: "S21",
    is: "a local copy of this node makes the endpoint local",
    service: { internalLocal: true },
    backends: [
      { address: "10.0.0.1", ...here, localCopy: true },
      { address: "10.0.0.1", ...away },
    ],
    plan: both(`ClusterIP ${v4} forward 10.0.0.1:8080`),
  },
  {
    rule: "S21",
    is: "a local copy of another node is ignored",
    backends: [
      { address: "10.0.0.1", state: "not-ready" },
      { address: "10.0.0.1", ...away, localCopy: true },
    ],
    plan: both(`ClusterIP ${v4} reject`),
  },
  {
    rule: "S23",
    is: "without a ready endpoint those serving and terminating are used",
    backends: [
      { address: "10.0.0.1", state: "terminating" },
      { address: "10.0.0.2", state: "not-ready" },
      { address: "10.0.0.3", state: "terminated" },
    ],
    plan: both(`ClusterIP ${v4} forward 10.0.0.1:8080`),
  },
  {
    rule: "S23",
    is: "a terminating endpoint is not used beside a ready one",
    backends: [{ address: "10.0.0.1", state: "terminating" }, { address: "10.0.0.2" }],
    plan: both(`ClusterIP ${v4} forward 10.0.0.2:8080`),
  },
  {
    rule: "S23",
    is: "the cluster set and the local set fall back separately",
    service: { internalLocal: true, externalIps: ["192.0.2.1"] },
    backends: [
      { address: "10.0.0.1", ...here, state: "terminating" },
      { address: "10.0.0.2", ...away },
    ],
    plan: [
      ...both(`ClusterIP ${v4} forward 10.0.0.1:8080`),
      ...both("ExternalIP 192.0.2.1:80/TCP forward 10.0.0.2:8080"),
    ],
  },
  {
    rule: "S24",
    is: "zone hints choose when every ready endpoint has them; one that is not ready needs none",
    zone: "z1",
    backends: [
      { address: "10.0.0.1", zoneHints: ["z1"] },
      { address: "10.0.0.2", zoneHints: ["z2"] },
      { address: "10.0.0.3", state: "terminating" },
    ],
    plan: both(`ClusterIP ${v4} forward 10.0.0.1:8080`),
  },
  {
    rule: "S24",
    is: "one ready endpoint without zone hints: all",
    zone: "z1",
    backends: [{ address: "10.0.0.1", zoneHints: ["z1"] }, { address: "10.0.0.2" }],
    plan: both(`ClusterIP ${v4} forward 10.0.0.1:8080 10.0.0.2:8080`),
  },
  {
    rule: "S24",
    is: "no endpoint for this zone: all",
    zone: "z3",
    backends: [
      { address: "10.0.0.1", zoneHints: ["z1"] },
      { address: "10.0.0.2", zoneHints: ["z2"] },
    ],
    plan: both(`ClusterIP ${v4} forward 10.0.0.1:8080 10.0.0.2:8080`),
  },
  {
    rule: "S24",
    is: "a node without a zone label: all",
    backends: [
      { address: "10.0.0.1", zoneHints: ["z1"] },
      { address: "10.0.0.2", zoneHints: ["z2"] },
    ],
    plan: both(`ClusterIP ${v4} forward 10.0.0.1:8080 10.0.0.2:8080`),
  },
  {
    rule: "S24",
    is: "node hints come before zone hints",
    zone: "z1",
    backends: [
      { address: "10.0.0.1", zoneHints: ["z1"], nodeHints: ["away"] },
      { address: "10.0.0.2", zoneHints: ["z2"], nodeHints: ["here", "away"] },
    ],
    plan: both(`ClusterIP ${v4} forward 10.0.0.2:8080`),
  },
  {
    rule: "S24",
    is: "node hints that name other nodes only leave the choice to zone hints",
    zone: "z1",
    backends: [
      { address: "10.0.0.1", zoneHints: ["z1"], nodeHints: ["away"] },
      { address: "10.0.0.2", zoneHints: ["z2"], nodeHints: ["away"] },
    ],
    plan: both(`ClusterIP ${v4} forward 10.0.0.1:8080`),
  },
  {
    rule: "S24",
    is: "hints do not touch local sets",
    zone: "z1",
    service: { internalLocal: true, externalIps: ["192.0.2.1"] },
    backends: [
      { address: "10.0.0.1", zoneHints: ["z2"], ...here },
      { address: "10.0.0.2", zoneHints: ["z1"], ...away },
    ],
    plan: [
      ...both(`ClusterIP ${v4} forward 10.0.0.1:8080`),
      ...both("ExternalIP 192.0.2.1:80/TCP forward 10.0.0.2:8080"),
    ],
  },
  {
    rule: "S32",
    is: "a ClusterIP assigned to a device is passed in the internal scope; external and load-balancer IPs are served",
    service: { externalIps: ["192.0.2.1"], loadBalancerIps: ["192.0.2.2"] },
    localAddresses: ["172.30.0.1", "192.0.2.1", "192.0.2.2"],
    backends: [{ address: "10.0.0.1" }],
    plan: [
      `external ClusterIP ${v4} forward 10.0.0.1:8080`,
      ...both("ExternalIP 192.0.2.1:80/TCP forward 10.0.0.1:8080"),
      ...both("LoadBalancerIP 192.0.2.2:80/TCP forward 10.0.0.1:8080"),
    ],
  },
  {
    rule: "S32",
    is: "only the address that is assigned is passed",
    service: { clusterIps: ["172.30.0.1", "fd00::1"] },
    localAddresses: ["fd00::1", "172.30.0.2"],
    backends: [{ address: "10.0.0.1" }],
    plan: [...both(`ClusterIP ${v4} forward 10.0.0.1:8080`), "external ClusterIP [fd00::1]:80/TCP reject"],
  },
  {
    rule: "S32",
    is: "the annotation passes every ClusterIP of the service",
    service: { clusterIps: ["172.30.0.1", "fd00::1"], nodeLocalPass: true },
    plan: [`external ClusterIP ${v4} reject`, "external ClusterIP [fd00::1]:80/TCP reject"],
  },
  {
    rule: "S32",
    is: "--local-cluster-ips=serve turns both off",
    service: { nodeLocalPass: true },
    localAddresses: ["172.30.0.1"],
    localClusterIps: "serve",
    plan: both(`ClusterIP ${v4} reject`),
  },
  {
    rule: "S33",
    is: "SCTP is planned",
    service: { ports: [{ name: "http", protocol: "SCTP", port: 80 }] },
    backends: [{ address: "10.0.0.1", ports: [{ name: "http", protocol: "SCTP", number: 90 }] }],
    plan: both("ClusterIP 172.30.0.1:80/SCTP forward 10.0.0.1:90"),
  },
];

describe("plan of one service", () => {
  for (const { rule, is, plan, ...given } of cases) {
    it(`${rule}: ${is}`, () => assert.deepEqual(frontendsOf(given).map(print), plan));
  }

  it("S4: affinity is the service's setting on every frontend", () => {
    const frontends = frontendsOf({ service: { affinitySeconds: 10_800, externalIps: ["192.0.2.1"] } });
    assert.deepEqual(new Set(frontends.map(({ affinitySeconds }) => affinitySeconds)), new Set([10_800]));
  });

  it("frontends of one service port and family share one array of targets", () => {
    const frontends = frontendsOf({
      service: { externalIps: ["192.0.2.1"], externalLocal: true },
      backends: [{ address: "10.0.0.1", ...here }],
    });
    assert.equal(new Set(frontends.map(({ targets }) => targets)).size, 1);
  });

  it("S6: undefined ports of its ClusterIPs are rejected", () => {
    const service = describedService({ name: "a/web", clusterIps: ["172.30.0.1", "fd00::1"], ports: [{ port: 80 }] });
    const { plans } = planOnce(planInput([service], []), planNode("here", "", []));
    assert.deepEqual(plans[0]?.rejectAddresses, ["172.30.0.1", "fd00::1"]);
  });
});

const passes: readonly {
  readonly is: string;
  readonly service: Partial<DescribedService>;
  readonly options: PlanNodeOptions;
  readonly reject: readonly string[];
  readonly pass: readonly string[];
}[] = [
  { is: "nothing local: none", service: {}, options: {}, reject: ["172.30.0.1", "fd00::1"], pass: [] },
  {
    is: "one local: that one",
    service: {},
    options: { localAddresses: new Set([describedAddress("fd00::1")]) },
    reject: ["172.30.0.1"],
    pass: ["fd00::1"],
  },
  {
    is: "the annotation: all",
    service: { nodeLocalPass: true },
    options: {},
    reject: [],
    pass: ["172.30.0.1", "fd00::1"],
  },
  {
    is: "serve: none",
    service: { nodeLocalPass: true },
    options: { localClusterIps: "serve", localAddresses: new Set([describedAddress("fd00::1")]) },
    reject: ["172.30.0.1", "fd00::1"],
    pass: [],
  },
];

describe("S32: what is passed is not rejected", () => {
  for (const { is, service, options, reject, pass } of passes) {
    it(is, () => {
      const of = { name: "a/web", clusterIps: ["172.30.0.1", "fd00::1"], ports: [{ port: 80 }], ...service };
      const { plans } = planOnce(planInput([describedService(of)], []), planNode("here", "", [], options));
      assert.deepEqual(plans[0]?.rejectAddresses, reject);
      assert.deepEqual(plans[0]?.passAddresses, pass);
    });
  }
});

const ranges: readonly {
  readonly is: string;
  readonly given: readonly string[];
  readonly nodeAddresses?: readonly string[];
  readonly allowed: Readonly<Record<string, readonly string[] | undefined>>;
}[] = [
  { is: "none: all", given: [], allowed: { "198.51.100.1": undefined, "2001:db8::1": undefined } },
  {
    is: "of one family: all of the other",
    given: ["10.0.0.0/8"],
    allowed: { "198.51.100.1": ["10.0.0.0/8"], "2001:db8::1": undefined },
  },
  {
    is: "/0 among them: all",
    given: ["0.0.0.0/0", "10.0.0.0/8"],
    allowed: { "198.51.100.1": undefined, "2001:db8::1": undefined },
  },
  {
    is: "that hold the node's primary address also allow the balancer's",
    given: ["10.9.0.0/16", "2001:db8:9::/48"],
    nodeAddresses: ["10.9.0.1", "2001:db8:8::1"],
    allowed: { "198.51.100.1": ["10.9.0.0/16", "198.51.100.1/32"], "2001:db8::1": ["2001:db8:9::/48"] },
  },
  {
    is: "that hold another address of the node than the primary do not",
    given: ["10.9.0.0/16"],
    nodeAddresses: ["10.8.0.1", "10.9.0.1"],
    allowed: { "198.51.100.1": ["10.9.0.0/16"], "2001:db8::1": undefined },
  },
];

describe("S15: source ranges", () => {
  for (const { is, given, nodeAddresses, allowed } of ranges) {
    it(`${is}, on load-balancer IPs only`, () => {
      const frontends = frontendsOf({
        service: {
          clusterIps: ["172.30.0.1", "fd00::1"],
          ports: [{ name: "http", port: 80, nodePort: 30_080 }],
          loadBalancerIps: ["198.51.100.1", "2001:db8::1"],
          externalIps: ["192.0.2.1"],
          sourceRanges: given,
        },
        nodeAddresses: nodeAddresses ?? ["192.168.77.1"],
      });
      for (const { kind, address, sourceRanges } of frontends) {
        const expected = kind === "LoadBalancerIP" ? allowed[address] : undefined;
        assert.deepEqual(sourceRanges?.map(printPrefix), expected, `${kind} ${address}`);
      }
    });
  }
});

function both(line: string): string[] {
  return [`external ${line}`, `internal ${line}`];
}

function frontendsOf(given: Omit<Case, "rule" | "is" | "plan">): readonly Frontend[] {
  const service = { name: "a/web", clusterIps: ["172.30.0.1"], ports: [{ name: "http", port: 80 }], ...given.service };
  const backends = (given.backends ?? []).map((backend) =>
    describedBackend({ service: "a/web", address: "", ports: [{ name: "http", number: 8_080 }], ...backend }),
  );
  const addresses = (given.nodeAddresses ?? []).map(describedAddress);
  const node = planNode("here", given.zone ?? "", addresses, {
    nodePortAddresses: given.nodePortAddresses?.map(describedAddress) ?? addresses,
    localAddresses: new Set((given.localAddresses ?? []).map(describedAddress)),
    localClusterIps: given.localClusterIps ?? "pass",
  });
  const { plans } = planOnce(planInput([describedService(service)], backends), node);
  return plans.flatMap(({ frontends }) => frontends).toSorted(compareFrontends);
}

function print(of: Frontend): string {
  const targets = of.targets.map(({ address, port }) => printSocketAddress(address, port));
  return [of.scope, of.kind, `${printSocketAddress(of.address, of.port)}/${of.protocol}`, of.action, ...targets].join(
    " ",
  );
}
