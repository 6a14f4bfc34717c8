import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePrefix } from "@weft/proto/address.ts";
import { addressOf, clusterIp } from "./kernel/testing/plans.ts";
import type { ServicePlan } from "./dataplane.ts";
import { planDifferences } from "./plan-difference.ts";

const prefix = (text: string) => {
  const parsed = parsePrefix(text);
  assert.ok(parsed !== undefined);
  return parsed;
};
const ranges = ["10.0.0.0/8", "fd00::/64"].map(prefix);
const makeWeb = () => clusterIp("ns/web", "10.96.0.1", ["10.1.0.1:80", "10.1.0.2:80"], { sourceRanges: ranges });
const web = makeWeb();
const other = clusterIp("ns/web", "10.96.0.2", ["[fd00::1]:80"]);
const both: ServicePlan = {
  ...web,
  frontends: [...web.frontends, ...other.frontends],
  rejectAddresses: [...web.rejectAddresses, ...other.rejectAddresses],
};
const key = "10.96.0.1 80 TCP internal";

function changed(fields: Partial<ServicePlan["frontends"][number]>): ServicePlan {
  return { ...web, frontends: web.frontends.map((frontend) => ({ ...frontend, ...fields })) };
}

describe("how what was given differs from a plan", () => {
  const cases: readonly (readonly [what: string, given: ServicePlan, found: readonly string[]])[] = [
    ["not at all", makeWeb(), []],
    ["source ranges in another order", changed({ sourceRanges: ranges.toReversed() }), []],
    ["kind", changed({ kind: "NodePort" }), [`differs ${key}: kind NodePort, planned ClusterIP`]],
    ["affinity", changed({ affinitySeconds: 9 }), [`differs ${key}: affinitySeconds 9, planned 0`]],
    ["action", changed({ action: "drop" }), [`differs ${key}: action drop, planned forward`]],
    ["service port", changed({ servicePort: "ns/x" }), [`differs ${key}: servicePort ns/x, planned ns/web:http`]],
    [
      "source ranges",
      changed({ sourceRanges: undefined }),
      [`differs ${key}: source ranges all, planned 10.0.0.0/8,fd00::/64`],
    ],
    [
      "backends",
      clusterIp("ns/web", "10.96.0.1", ["10.1.0.2:80", "10.1.0.3:80"], { sourceRanges: ranges }),
      [`differs ${key}: backends applied, not planned: 10.1.0.3:80; backends planned, not applied: 10.1.0.1:80`],
    ],
    [
      "the order of backends",
      clusterIp("ns/web", "10.96.0.1", ["10.1.0.2:80", "10.1.0.1:80"], { sourceRanges: ranges }),
      [`differs ${key}: backends in another order`],
    ],
    ["a frontend too few", { ...web, frontends: [] }, [`missing ${key}: planned, not applied`]],
    [
      "a frontend and its address too many",
      both,
      [
        "surplus 10.96.0.2 80 TCP internal: applied, not planned",
        "surplus 10.96.0.2: its other ports are rejected: applied, not planned",
      ],
    ],
    [
      "an address that is passed instead of rejected",
      { ...web, rejectAddresses: [], passAddresses: [addressOf("10.96.0.1")] },
      [
        "missing 10.96.0.1: its other ports are rejected: planned, not applied",
        "surplus 10.96.0.1: the whole address is passed: applied, not planned",
      ],
    ],
  ];
  for (const [what, given, found] of cases) {
    it(what, () => {
      const printed = planDifferences(given, web).map(({ kind, entry, what: said }) => `${kind} ${entry}: ${said}`);
      assert.deepEqual(printed, found);
    });
  }

  it("means nothing by the order of frontends", () => {
    assert.deepEqual(planDifferences({ ...both, frontends: both.frontends.toReversed() }, both), []);
  });

  it("names a few backends and counts the others", () => {
    const many = Array.from({ length: 9 }, (_, i) => `10.1.1.${i + 1}:80`);
    const [difference] = planDifferences(clusterIp("ns/web", "10.96.0.1", many), clusterIp("ns/web", "10.96.0.1", []));
    assert.match(difference?.what ?? "", /not planned: 10\.1\.1\.1:80, [^;]*10\.1\.1\.4:80 and 5 more$/);
  });
});
