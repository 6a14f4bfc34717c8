import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { resourceId } from "@weft/proto/ids.ts";
import { describedBackend, describedService } from "../plan/described-cluster.ts";
import type { DescribedBackend, DescribedService } from "../plan/described-cluster.ts";
import { planInput } from "../plan/plan-input.ts";
import { answerHealthCheck, healthCheckOf } from "./health-check.ts";
import type { HealthCheck } from "./health-check.ts";
import { HealthChecks } from "./health-checks.ts";

const here = resourceId("name", "n1");

const balanced: DescribedService = {
  name: "ns/web",
  clusterIps: ["10.96.0.1", "fd00:96::1"],
  ports: [{ port: 80, nodePort: 30_080 }],
  externalLocal: true,
  healthCheckNodePort: 31_000,
};

type Endpoint = Omit<DescribedBackend, "service" | "ports"> & { readonly ports?: DescribedBackend["ports"] };

function checkOf(service: DescribedService, endpoints: readonly Endpoint[]): HealthCheck | undefined {
  const backends = endpoints.map((of) => describedBackend({ service: service.name, ports: [{ number: 8080 }], ...of }));
  return healthCheckOf({ service: describedService(service), backends }, here);
}

describe("local endpoints of a health check", () => {
  const rows: readonly (readonly [rule: string, endpoints: readonly Endpoint[], ipv4: number, ipv6: number])[] = [
    ["none", [], 0, 0],
    ["one here", [{ address: "10.1.0.1", node: "n1" }], 1, 0],
    ["one elsewhere", [{ address: "10.1.0.1", node: "n2" }], 0, 0],
    ["one without a node", [{ address: "10.1.0.1" }], 0, 0],
    ["not ready", [{ address: "10.1.0.1", node: "n1", state: "not-ready" }], 0, 0],
    ["terminating, although it still serves", [{ address: "10.1.0.1", node: "n1", state: "terminating" }], 0, 0],
    ["terminated", [{ address: "10.1.0.1", node: "n1", state: "terminated" }], 0, 0],
    [
      "two ports of one address in one backend",
      [{ address: "10.1.0.1", node: "n1", ports: [{ number: 80 }, { name: "b", number: 81 }] }],
      1,
      0,
    ],
    [
      "one address in two backends, by hints that differ",
      [
        { address: "10.1.0.1", node: "n1", ports: [{ number: 80 }] },
        { address: "10.1.0.1", node: "n1", ports: [{ number: 81 }], zoneHints: ["z1"] },
      ],
      1,
      0,
    ],
    [
      "one address, ready on one port only",
      [
        { address: "10.1.0.1", node: "n1", ports: [{ number: 80 }], state: "not-ready" },
        { address: "10.1.0.1", node: "n1", ports: [{ number: 81 }] },
      ],
      1,
      0,
    ],
    [
      "a port that the Service does not have",
      [{ address: "10.1.0.1", node: "n1", ports: [{ name: "x", number: 9 }] }],
      1,
      0,
    ],
    ["no numbered port", [{ address: "10.1.0.1", node: "n1", ports: [] }], 0, 0],
    [
      "each family for itself",
      [
        { address: "10.1.0.1", node: "n1" },
        { address: "10.1.0.2", node: "n1" },
        { address: "fd00:1::1", node: "n1" },
      ],
      2,
      1,
    ],
  ];
  for (const [rule, endpoints, ipv4, ipv6] of rows) {
    it(`${rule}: ${ipv4} of IPv4, ${ipv6} of IPv6`, () => {
      assert.deepEqual(checkOf(balanced, endpoints)?.localEndpoints, { 4: ipv4, 6: ipv6 });
    });
  }
});

describe("services with a health check node port", () => {
  const without = { ...balanced };
  delete (without as { healthCheckNodePort?: number }).healthCheckNodePort;
  const rows: readonly (readonly [rule: string, service: DescribedService, port: number | undefined])[] = [
    ["LoadBalancer, policy Local", balanced, 31_000],
    ["policy Cluster", { ...balanced, externalLocal: false }, undefined],
    ["no port", { ...balanced, healthCheckNodePort: 0 }, undefined],
    ["NodePort, policy Local", without, undefined],
  ];
  for (const [rule, service, port] of rows) {
    it(`${rule}: ${port ?? "none"}`, () => assert.equal(checkOf(service, [])?.port, port));
  }
  it("a type other than LoadBalancer has none, whatever its field says", () => {
    const service = describedService(without);
    service.healthCheckNodePort = 31_000;
    assert.equal(healthCheckOf({ service, backends: [] }, here), undefined);
  });
});

describe("the answer of a health check", () => {
  const both: HealthCheck = { service: "ns/web", port: 31_000, families: [4, 6], localEndpoints: { 4: 2, 6: 0 } };
  const onlyIpv6: HealthCheck = { ...both, families: [6], localEndpoints: { 4: 0, 6: 3 } };
  const rows: readonly (readonly [HealthCheck, 4 | 6, healthy: boolean, status: number, count: number])[] = [
    [both, 4, true, 200, 2],
    [both, 4, false, 503, 2],
    [both, 6, true, 503, 0],
    [both, 6, false, 503, 0],
    [onlyIpv6, 6, true, 200, 3],
    // A balancer may ask by the other family than that of the service.
    [onlyIpv6, 4, true, 200, 3],
  ];
  for (const [check, family, healthy, status, count] of rows) {
    it(`${check.families.join("+")} asked by IPv${family}, ${healthy ? "healthy" : "not healthy"}: ${status}`, () => {
      const answer = answerHealthCheck(check, family, healthy);
      assert.equal(answer.status, status);
      assert.equal(answer.contentType, "application/json");
      assert.deepEqual(answer.headers, { "x-load-balancing-endpoint-weight": String(count) });
      assert.deepEqual(JSON.parse(String(answer.body)), {
        service: { namespace: "ns", name: "web" },
        localEndpoints: count,
        serviceProxyHealthy: healthy,
      });
    });
  }
  it("is written as kube-proxy writes it", () => {
    assert.equal(
      answerHealthCheck(both, 4, true).body,
      '{\n\t"service": {\n\t\t"namespace": "ns",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
    );
  });
});

describe("health checks of a node", () => {
  it("name a service whose port came, went or changed, and take over counts silently", () => {
    const service = describedService(balanced);
    const backend = describedBackend({ service: "ns/web", address: "10.1.0.1", node: "n1", ports: [{ number: 1 }] });
    let input = planInput([], []);
    const checks = new HealthChecks(
      { serviceByName: (name) => input.serviceByName(name), serviceNames: () => input.serviceNames() },
      here,
    );
    const steps: readonly (readonly [
      what: string,
      next: typeof input,
      changed: readonly string[],
      count: number | undefined,
    ])[] = [
      ["unknown", planInput([], []), [], undefined],
      ["came", planInput([service], []), ["ns/web"], 0],
      ["gained an endpoint", planInput([service], [backend]), [], 1],
      ["lost it", planInput([service], []), [], 0],
      ["another port", planInput([describedService({ ...balanced, healthCheckNodePort: 31_001 })], []), ["ns/web"], 0],
      [
        "policy Cluster",
        planInput([describedService({ ...balanced, externalLocal: false })], []),
        ["ns/web"],
        undefined,
      ],
      ["back", planInput([service], [backend]), ["ns/web"], 1],
    ];
    for (const [what, next, changed, count] of steps) {
      input = next;
      assert.deepEqual(checks.touch(["ns/web"]), changed, what);
      assert.equal(checks.get("ns/web")?.localEndpoints[4], count, what);
    }
    input = planInput([], []);
    assert.deepEqual(checks.touchAll(), ["ns/web"], "a service that is gone is looked at too");
    assert.equal(checks.all().size, 0);
  });
});
