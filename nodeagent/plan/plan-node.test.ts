import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Backend, Service } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { describedAddress, describedBackend, describedService } from "./described-cluster.ts";
import type { DescribedService } from "./described-cluster.ts";
import type { PlanInput } from "./plan-input.ts";
import { planNode } from "./plan-input.ts";
import { NodePlanner, planOnce } from "./plan-node.ts";
import type { PlanOutput } from "./plan-node.ts";

/** Services that a test changes. */
class Cluster implements PlanInput {
  readonly #services = new Map<string, { readonly service: Service; readonly backends: Backend[] }>();

  put(service: DescribedService, ...backends: Backend[]): string {
    this.#services.set(service.name, { service: describedService(service), backends });
    return service.name;
  }

  remove(name: string): string {
    this.#services.delete(name);
    return name;
  }

  replaceBackends(name: string, ...backends: Backend[]): string {
    const { service } = this.#services.get(name) ?? {};
    assert.ok(service !== undefined, name);
    this.#services.set(name, { service, backends });
    return name;
  }

  serviceByName(name: string): { readonly service: Service; readonly backends: Backend[] } | undefined {
    return this.#services.get(name);
  }

  serviceNames(): Iterable<string> {
    return this.#services.keys();
  }
}

const node = planNode("here", "z1", [describedAddress("10.9.0.1")]);
const http = { name: "http", port: 80 };
const clusterIp = "172.30.0.1";
const shared = "192.0.2.1";

const contests: readonly {
  readonly is: string;
  readonly services: readonly DescribedService[];
  /** Service port that holds `contested`. */
  readonly holder: string;
  readonly contested: string;
  readonly refused: string;
}[] = [
  {
    is: "ClusterIP wins over LoadBalancerIP",
    services: [
      { name: "a/lb", clusterIps: ["172.30.0.2"], loadBalancerIps: [clusterIp], ports: [http] },
      { name: "b/own", clusterIps: [clusterIp], ports: [http] },
    ],
    holder: "b/own:http",
    contested: `${clusterIp} 80`,
    refused: `LoadBalancerIP ${clusterIp} port 80/TCP of service a/lb:http is refused: service b/own:http holds it as ClusterIP`,
  },
  {
    is: "LoadBalancerIP wins over ExternalIP",
    services: [
      { name: "a/ext", clusterIps: ["172.30.0.2"], externalIps: [shared], ports: [http] },
      { name: "b/lb", clusterIps: ["172.30.0.3"], loadBalancerIps: [shared], ports: [http] },
    ],
    holder: "b/lb:http",
    contested: `${shared} 80`,
    refused: `ExternalIP ${shared} port 80/TCP of service a/ext:http is refused: service b/lb:http holds it as LoadBalancerIP`,
  },
  {
    is: "ExternalIP wins over NodePort",
    services: [
      { name: "a/np", clusterIps: ["172.30.0.2"], ports: [{ ...http, nodePort: 30_080 }] },
      { name: "b/ext", clusterIps: ["172.30.0.3"], externalIps: ["10.9.0.1"], ports: [{ name: "high", port: 30_080 }] },
    ],
    holder: "b/ext:high",
    contested: "10.9.0.1 30080",
    refused:
      "NodePort 10.9.0.1 port 30080/TCP of service a/np:http is refused: service b/ext:high holds it as ExternalIP",
  },
  {
    is: "of one kind the smaller name wins",
    services: [
      { name: "b/x", clusterIps: ["172.30.0.2"], externalIps: [shared], ports: [http] },
      { name: "a/x", clusterIps: ["172.30.0.3"], externalIps: [shared], ports: [http] },
    ],
    holder: "a/x:http",
    contested: `${shared} 80`,
    refused: `ExternalIP ${shared} port 80/TCP of service b/x:http is refused: service a/x:http holds it as ExternalIP`,
  },
];

describe("S18: two services that claim one frontend", () => {
  for (const { is, services, holder, contested, refused } of contests) {
    it(is, () => {
      for (const order of [services, services.toReversed()]) {
        const cluster = new Cluster();
        const planner = new NodePlanner(cluster, node);
        // One by one, so that the second claimant also replans the first.
        const held = new Map<string, readonly string[]>();
        let notices: PlanOutput["notices"] = [];
        for (const service of order) {
          const output = planner.touch([cluster.put(service)]);
          notices = output.notices;
          for (const plan of output.plans) {
            held.set(
              plan.service,
              plan.frontends.map(({ address, port, servicePort }) => `${address} ${port} ${servicePort}`),
            );
          }
        }
        const holders = new Set([...held.values()].flat().filter((frontend) => frontend.startsWith(`${contested} `)));
        assert.deepEqual([...holders], [`${contested} ${holder}`]);
        assert.equal(notices.length, 1);
        assert.equal(notices[0]?.category, "conflict");
        assert.ok(notices[0]?.reason.startsWith(refused), notices[0]?.reason);
      }
    });
  }

  it("takes nothing else from the loser, and two ports of one address do not compete", () => {
    const cluster = new Cluster();
    cluster.put({ name: "a/x", clusterIps: ["172.30.0.2"], externalIps: [shared], ports: [http] });
    cluster.put({
      name: "b/x",
      clusterIps: ["172.30.0.3"],
      externalIps: [shared],
      ports: [http, { name: "tls", port: 443 }],
    });
    const { plans, notices } = planOnce(cluster, node);
    const loser = plans.find(({ service }) => service === "b/x");
    const frontends = new Set(loser?.frontends.map(({ address, port }) => `${address} ${port}`));
    assert.deepEqual(frontends, new Set(["172.30.0.3 80", "172.30.0.3 443", `${shared} 443`]));
    assert.deepEqual(
      notices.map(({ service }) => service),
      ["b/x"],
    );
  });

  it("gives the frontend to the other service in the round in which the winner goes", () => {
    const cluster = new Cluster();
    const winner = cluster.put({ name: "a/x", clusterIps: ["172.30.0.2"], externalIps: [shared], ports: [http] });
    const loser = cluster.put({ name: "b/x", clusterIps: ["172.30.0.3"], externalIps: [shared], ports: [http] });
    const planner = new NodePlanner(cluster, node);
    assert.equal(planner.replanAll().notices.length, 1);
    const output = planner.touch([cluster.remove(winner)]);
    assert.deepEqual(
      output.plans.map(({ service }) => service),
      [winner, loser],
    );
    assert.deepEqual(output.plans[0]?.frontends, []);
    assert.ok(output.plans[1]?.frontends.some(({ address }) => address === shared));
    assert.deepEqual(output.notices, []);
  });

  it("rejects undefined ports of a ClusterIP for one service only", () => {
    const cluster = new Cluster();
    cluster.put({ name: "b/x", clusterIps: [clusterIp], ports: [http] });
    const planner = new NodePlanner(cluster, node);
    assert.deepEqual(planner.replanAll().plans[0]?.rejectAddresses, [clusterIp]);
    const second = planner.touch([cluster.put({ name: "a/x", clusterIps: [clusterIp], ports: [{ port: 81 }] })]);
    assert.deepEqual(
      second.plans.map(({ service, rejectAddresses }) => [service, rejectAddresses]),
      [
        ["a/x", [clusterIp]],
        ["b/x", []],
      ],
    );
  });
});

describe("S32: two services with one ClusterIP", () => {
  it("pass it if one of them asks for it, in the round in which it does", () => {
    const cluster = new Cluster();
    const plain = cluster.put({ name: "a/x", clusterIps: [clusterIp], ports: [http] });
    const asking = { name: "b/x", clusterIps: [clusterIp], ports: [{ name: "dns", port: 53 }], nodeLocalPass: true };
    const planner = new NodePlanner(cluster, node);
    planner.replanAll();
    const shown = ({ plans }: PlanOutput): unknown =>
      plans
        .toSorted((a, b) => (a.service < b.service ? -1 : 1))
        .map(({ service, frontends, rejectAddresses, passAddresses }) => [
          service,
          frontends.map(({ scope }) => scope),
          rejectAddresses,
          passAddresses,
        ]);
    assert.deepEqual(shown(planner.touch([cluster.put(asking)])), [
      [plain, ["external"], [], []],
      ["b/x", ["external"], [], [clusterIp]],
    ]);
    assert.deepEqual(shown(planner.touch([cluster.remove("b/x")])), [
      [plain, ["external", "internal"], [clusterIp], []],
      ["b/x", [], [], []],
    ]);
  });
});

describe("what is planned again", () => {
  const backend = (service: string, zoneHints: readonly string[] = []): Backend =>
    describedBackend({ service, address: "10.0.0.1", ports: [{ name: "http", number: 80 }], zoneHints });
  const start = (): { readonly cluster: Cluster; readonly planner: NodePlanner } => {
    const cluster = new Cluster();
    cluster.put({ name: "a/plain", clusterIps: ["172.30.0.1"], ports: [http] }, backend("a/plain"));
    cluster.put({ name: "a/zoned", clusterIps: ["172.30.0.2"], ports: [http] }, backend("a/zoned", ["z2"]));
    cluster.put({ name: "a/np", clusterIps: ["172.30.0.3"], ports: [{ ...http, nodePort: 30_080 }] });
    const guarded = { loadBalancerIps: [shared], sourceRanges: ["10.0.0.0/8"] };
    cluster.put({ name: "a/guarded", clusterIps: ["172.30.0.4"], ports: [http], ...guarded });
    const planner = new NodePlanner(cluster, node);
    planner.replanAll();
    return { cluster, planner };
  };
  const services = ({ plans }: PlanOutput): string[] => plans.map(({ service }) => service).toSorted();

  it("an endpoint change: its service only", () => {
    const { cluster, planner } = start();
    assert.deepEqual(services(planner.touch([cluster.replaceBackends("a/plain", backend("a/plain"))])), ["a/plain"]);
  });

  it("another zone: services with zone hints", () => {
    const { planner } = start();
    assert.deepEqual(services(planner.setNode(planNode("here", "z2", node.addresses))), ["a/zoned"]);
  });

  it("other addresses: services with NodePorts or source ranges", () => {
    const { planner } = start();
    const output = planner.setNode(planNode("here", "z1", [describedAddress("10.9.0.2")]));
    assert.deepEqual(services(output), ["a/guarded", "a/np"]);
  });

  it("an address assigned to a device, or no longer: services with that ClusterIP", () => {
    const { planner } = start();
    const local = { localAddresses: new Set([describedAddress("172.30.0.3"), describedAddress("172.30.0.99")]) };
    assert.deepEqual(services(planner.setNode(planNode("here", "z1", node.addresses, local))), ["a/np"]);
    assert.deepEqual(services(planner.setNode(planNode("here", "z1", node.addresses))), ["a/np"]);
  });

  it("other --local-cluster-ips: all", () => {
    const { planner } = start();
    const output = planner.setNode(planNode("here", "z1", node.addresses, { localClusterIps: "serve" }));
    assert.deepEqual(services(output), ["a/guarded", "a/np", "a/plain", "a/zoned"]);
  });

  it("nothing new about the node: nothing", () => {
    const { planner } = start();
    assert.deepEqual(services(planner.setNode(planNode("here", "z1", [describedAddress("10.9.0.1")]))), []);
  });

  it("a service that was removed or never was: an empty plan", () => {
    const { cluster, planner } = start();
    for (const name of [cluster.remove("a/plain"), "a/unknown"]) {
      assert.deepEqual(planner.touch([name]).plans, [
        { service: name, frontends: [], rejectAddresses: [], passAddresses: [] },
      ]);
    }
  });
});

it("S33: SCTP is named once per service and planned", () => {
  const cluster = new Cluster();
  const sctp = (port: number): { readonly name: string; readonly protocol: "SCTP"; readonly port: number } => ({
    name: `p${port}`,
    protocol: "SCTP",
    port,
  });
  cluster.put({ name: "a/sctp", clusterIps: [clusterIp], ports: [sctp(1), sctp(2)] });
  const { plans, notices } = planOnce(cluster, node);
  assert.equal(plans[0]?.frontends.length, 4);
  assert.deepEqual(
    notices.map(({ service, category }) => `${service} ${category}`),
    ["a/sctp unsupported"],
  );
  assert.match(notices[0]?.reason ?? "", /SCTP ports 1, 2 /);
});
