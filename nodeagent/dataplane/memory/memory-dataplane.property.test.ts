import assert from "node:assert/strict";
import { it } from "node:test";
import * as fc from "fast-check";
import { parseAddress, type Address } from "@weft/proto/address.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { frontendKey, type Frontend } from "../../plan/frontend.ts";
import { Targets, type Target } from "../../plan/targets.ts";
import { planLines } from "../../plan/plan-line.ts";
import type { ServicePlan } from "../dataplane.ts";
import { MemoryDataplane } from "./memory-dataplane.ts";

const services = ["a/0", "a/1", "a/2"];
const ports = [1, 2, 3, 4];

/** Which service holds each port, and the backends of each service; together a whole revision. */
interface Revision {
  readonly owners: readonly number[];
  readonly backends: readonly (readonly number[])[];
}

const anyRevision: fc.Arbitrary<Revision> = fc.record({
  owners: fc.array(fc.integer({ min: -1, max: services.length - 1 }), {
    minLength: ports.length,
    maxLength: ports.length,
  }),
  backends: fc.array(fc.subarray([1, 2, 3, 4, 5, 6]), { minLength: services.length, maxLength: services.length }),
});

it("within any limits: what is not named holds the plan, what is named never more than it may", async () => {
  const limits = fc.record({
    frontends: fc.integer({ min: 1, max: 4 }),
    backends: fc.integer({ min: 1, max: 12 }),
    services: fc.integer({ min: 1, max: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(limits, fc.array(anyRevision, { minLength: 1, maxLength: 8 }), async (max, revisions) => {
      const dataplane = new MemoryDataplane(max);
      let wanted: ReadonlyMap<string, ServicePlan> = new Map();
      for (const [at, one] of revisions.entries()) {
        const next = plansOf(one);
        const changed = [...next.values()].filter((plan) => !isSame(plan, wanted.get(plan.service)));
        wanted = next;
        const before = new Set(dataplane.dump().map(frontendKey));
        const cursor = { epoch: epoch(1, 1), revision: revision(at + 1) };
        const { failures } = await dataplane.apply(
          { cursor, services: changed, serviceCidrs: undefined },
          () => undefined,
        );

        const held = dataplane.dump();
        assert.equal(new Set(held.map(frontendKey)).size, held.length, "one service a frontend");
        for (const { name, used, max: most } of dataplane.limits()) assert.ok(used <= most, `${name} within its limit`);
        assert.equal(dataplane.limits()[0]?.used, held.length);
        const named = new Set(failures.map(({ service }) => service));
        for (const [service, plan] of wanted) {
          const own = held.filter(({ servicePort }) => servicePort === service);
          if (!named.has(service)) assert.deepEqual(planLines(own), planLines(plan.frontends), service);
          else {
            for (const frontend of own) {
              assert.ok(before.has(frontendKey(frontend)), "no part of what does not fit");
              for (const target of frontend.targets) assert.ok(isEligible(target, plan), "no backend that left");
            }
          }
        }
      }
      const cursor = { epoch: epoch(1, 1), revision: revision(99) };
      await dataplane.replaceAll({ cursor, services: [], serviceCidrs: undefined }, () => undefined);
      assert.deepEqual(
        dataplane.limits().map(({ used }) => used),
        [0, 0, 0],
      );
    }),
    { numRuns: 1_500 },
  );
});

function plansOf({ owners, backends }: Revision): ReadonlyMap<string, ServicePlan> {
  return new Map(
    services.map((service, i) => {
      const targets = (backends[i] ?? []).map((last): Target => ({ address: address(`10.0.${i}.${last}`), port: 80 }));
      const frontends = ports.filter((_, j) => owners[j] === i).map((port) => frontendOf(service, port, targets));
      return [service, { service, frontends, rejectAddresses: [], passAddresses: [] }];
    }),
  );
}

function frontendOf(service: string, port: number, targets: readonly Target[]): Frontend {
  return {
    address: address("172.30.0.1"),
    port,
    protocol: "TCP",
    scope: "internal",
    kind: "ClusterIP",
    servicePort: service,
    action: targets.length > 0 ? "forward" : "reject",
    targets: Targets.of(targets),
    affinitySeconds: 0,
    sourceRanges: undefined,
  };
}

function isSame(a: ServicePlan, b: ServicePlan | undefined): boolean {
  return b !== undefined && planLines(a.frontends).join() === planLines(b.frontends).join();
}

// A service that asks for no frontend any more may choose nothing.
function isEligible(target: Target, plan: ServicePlan): boolean {
  return plan.frontends.some(({ targets }) => [...targets].some(({ address: other }) => other === target.address));
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}
