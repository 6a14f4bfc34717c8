import assert from "node:assert/strict";
import { it } from "node:test";
import { parseAddress, type Address } from "@weft/proto/address.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Frontend } from "../../plan/frontend.ts";
import { Targets } from "../../plan/targets.ts";
import { describeDataplane } from "../conformance.ts";
import type { Round, ServicePlan } from "../dataplane.ts";
import { MemoryDataplane } from "./memory-dataplane.ts";

describeDataplane({ name: "memory", create: (max) => new MemoryDataplane(max), serves: () => true });

const max = { frontends: 2, backends: 3, services: 2 };

const overfull: readonly { readonly full: string; readonly plan: ServicePlan }[] = [
  { full: "frontends", plan: plan("a/b", 3, 1) },
  { full: "backends", plan: plan("a/b", 1, 4) },
  { full: "frontends-max and --backends", plan: plan("a/b", 3, 4) },
];
for (const { full, plan: wanted } of overfull) {
  it(`names the limit that is full and the flag that raises it: ${full}`, async () => {
    const { failures } = await new MemoryDataplane(max).apply(round([wanted]), () => undefined);
    assert.equal(failures.length, 1);
    assert.match(failures[0]?.reason ?? "", new RegExp(`service a/b does not fit: .*raise --${full}-max of the agent`));
  });
}

it("counts services, and one that shrinks makes room for one that grows in the same round", async () => {
  const dataplane = new MemoryDataplane(max);
  await dataplane.apply(round([plan("a/one", 1, 2), plan("a/two", 1, 1)]), () => undefined);
  const third = await dataplane.apply(round([plan("a/three", 0, 0, ["10.0.0.9"])]), () => undefined);
  assert.deepEqual(
    third.failures.map(({ service }) => service),
    ["a/three"],
  );
  const moved = await dataplane.apply(
    round([plan("a/two", 1, 2), plan("a/one", 1, 1), plan("a/three", 0, 0)]),
    () => undefined,
  );
  assert.deepEqual(moved.failures, []);
  assert.deepEqual(dataplane.limits(), [
    { name: "frontends", used: 2, max: 2 },
    { name: "backends", used: 3, max: 3 },
    { name: "services", used: 2, max: 2 },
  ]);
});

function round(services: readonly ServicePlan[]): Round {
  return { cursor: { epoch: epoch(1, 1), revision: revision(1) }, services, serviceCidrs: undefined };
}

function plan(service: string, ports: number, backends: number, rejects: readonly string[] = []): ServicePlan {
  const targets = Array.from({ length: backends }, (_, i) => ({ address: address(`10.0.0.${i}`), port: 80 }));
  const frontends = Array.from({ length: ports }, (_, i): Frontend => ({
    address: address(`172.30.0.${service.length}`),
    port: i + 1,
    protocol: "TCP",
    scope: "internal",
    kind: "ClusterIP",
    servicePort: service,
    action: "forward",
    targets: Targets.of(targets),
    affinitySeconds: 0,
    sourceRanges: undefined,
  }));
  return { service, frontends, rejectAddresses: rejects.map(address), passAddresses: [] };
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}
