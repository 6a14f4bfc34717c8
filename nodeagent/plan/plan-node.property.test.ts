import assert from "node:assert/strict";
import { it } from "node:test";
import * as fc from "fast-check";
import { compareText } from "@weft/proto/address.ts";
import { describedAddress, describedBackend, describedService } from "./described-cluster.ts";
import type { DescribedBackend, DescribedService } from "./described-cluster.ts";
import { naivePlan, type DescribedNode } from "./naive-plan.ts";
import { planInput, planNode, type PlanInput, type PlanNode, type ServiceView } from "./plan-input.ts";
import { planLines } from "./plan-line.ts";
import { ClaimBoard } from "./claim-board.ts";
import { NodePlanner, planOnce } from "./plan-node.ts";
import type { ServicePlan } from "../dataplane/dataplane.ts";
import { isEmptyPlan } from "../dataplane/memory/admit.ts";

const nodes = ["n1", "n2", "n3"];
const zones = ["z1", "z2"];
const nodeAddresses = ["10.9.0.1", "10.9.0.2", "2001:db8:9::1"];
// Few addresses and ports, so that services collide.
const publicIps = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "172.30.0.1", "10.9.0.1"];
const subset = <T>(of: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...of]);
const protocol = fc.constantFrom("TCP", "UDP", "SCTP");
const serviceNames = ["a/x", "a/y", "b/x", "b/y"];

const service = (name: string): fc.Arbitrary<DescribedService> =>
  fc.record({
    name: fc.constant(name),
    clusterIps: fc
      .tuple(
        fc.constantFrom("172.30.0.1", "172.30.0.2", "172.30.0.3"),
        fc.constantFrom("fd00::1", "fd00::2"),
        fc.constantFrom(1, 2, 3),
      )
      .map(([four, six, families]) => [...(families & 1 ? [four] : []), ...(families & 2 ? [six] : [])]),
    ports: fc.uniqueArray(
      fc.record(
        {
          name: fc.constantFrom("", "http", "dns"),
          protocol,
          port: fc.constantFrom(80, 53, 30_080),
          nodePort: fc.constantFrom(30_080, 30_053),
        },
        { requiredKeys: ["name", "protocol", "port"] },
      ),
      { maxLength: 3, selector: ({ name: of, protocol: by }) => `${of} ${by}` },
    ),
    externalIps: subset(publicIps),
    loadBalancerIps: subset(publicIps),
    externalLocal: fc.boolean(),
    internalLocal: fc.boolean(),
    affinitySeconds: fc.constantFrom(0, 10_800),
    nodeLocalPass: fc.constantFrom(false, false, false, false, true),
  });

// One backend an address and one for each node's own copy of it, as the compiler makes them from endpoints of one state.
const backendsOf = (name: string): fc.Arbitrary<DescribedBackend[]> =>
  fc.uniqueArray(
    fc.record({
      service: fc.constant(name),
      address: fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.0.10", "10.0.1.1", "fd00:1::1", "fd00:1::2", "fd00:1::10"),
      ports: fc.uniqueArray(
        fc.record({ name: fc.constantFrom("", "http", "dns"), protocol, number: fc.constantFrom(80, 8_080, 53) }),
        { minLength: 1, maxLength: 4, selector: (port) => JSON.stringify(port) },
      ),
      node: fc.constantFrom(...nodes),
      zoneHints: fc.oneof({ weight: 3, arbitrary: fc.constant(["z1"]) }, { weight: 2, arbitrary: subset(zones) }),
      nodeHints: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 2, arbitrary: subset(nodes) }),
      state: fc.constantFrom("ready", "ready", "ready", "terminating", "not-ready", "terminated"),
      localCopy: fc.constantFrom(false, false, true),
    }),
    { maxLength: 8, selector: ({ address, localCopy, node: of }) => `${address} ${localCopy ? of : ""}` },
  );

const node: fc.Arbitrary<DescribedNode> = fc
  .record({
    zone: fc.constantFrom("", "z1", "z2", "z3"),
    addresses: subset(nodeAddresses),
    loopback: fc.boolean(),
    localAddresses: subset(["172.30.0.1", "fd00::2", "192.0.2.1"]),
    localClusterIps: fc.constantFrom("pass", "pass", "serve"),
  })
  .map(({ addresses, loopback, ...of }) => ({
    ...of,
    name: "n1",
    addresses,
    nodePortAddresses: loopback ? [...addresses, "127.0.0.1", "::1"] : addresses,
  }));

const planned = (of: DescribedNode): PlanNode =>
  planNode(of.name, of.zone, of.addresses.map(describedAddress), {
    nodePortAddresses: of.nodePortAddresses.map(describedAddress),
    localAddresses: new Set(of.localAddresses.map(describedAddress)),
    localClusterIps: of.localClusterIps,
  });

it("plans any cluster as the naive planner does", () => {
  const cluster = fc.tuple(
    fc.subarray(serviceNames, { minLength: 1 }).chain((names) => fc.tuple(...names.map(service))),
    fc.tuple(...serviceNames.map(backendsOf)).map((lists) => lists.flat()),
    node,
  );
  fc.assert(
    fc.property(cluster, ([services, backends, on]) => {
      const input = planInput(services.map(describedService), backends.map(describedBackend));
      const { plans, notices } = planOnce(input, planned(on));
      const expected = naivePlan(services, backends, on);
      assert.deepEqual(planLines(plans.flatMap(({ frontends }) => frontends)), expected.lines);
      const refused = notices
        .filter(({ category }) => category === "conflict")
        .map(({ service: of, reason }) => {
          const [, address = "", port = "", by = ""] = / (\S+) port (\d+)\/(\w+) of /.exec(reason) ?? [];
          return `${of} ${address}|${port}|${by}`;
        });
      assert.deepEqual([...new Set(refused)].toSorted(), expected.refusals);
      assert.deepEqual(plans.flatMap(({ passAddresses }) => passAddresses).toSorted(compareText), expected.passed);
      assert.deepEqual(
        plans.flatMap(({ rejectAddresses }) => rejectAddresses).toSorted(compareText),
        expected.rejected,
      );
    }),
    { numRuns: 1_500 },
  );
});

type Change =
  | { readonly kind: "service"; readonly service: DescribedService }
  | { readonly kind: "backends"; readonly service: string; readonly backends: readonly DescribedBackend[] }
  | { readonly kind: "remove"; readonly service: string }
  | { readonly kind: "node"; readonly node: DescribedNode };

const change: fc.Arbitrary<Change> = fc.oneof(
  fc
    .constantFrom(...serviceNames)
    .chain(service)
    .map((put): Change => ({ kind: "service", service: put })),
  fc
    .constantFrom(...serviceNames)
    .chain((name) => backendsOf(name).map((backends): Change => ({ kind: "backends", service: name, backends }))),
  fc.constantFrom(...serviceNames).map((name): Change => ({ kind: "remove", service: name })),
  node.map((on): Change => ({ kind: "node", node: on })),
);

it("after any changes holds what a plan from nothing gives", () => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { maxLength: 8 }), (rounds) => {
      const views = new Map<string, ServiceView>();
      const input: PlanInput = { serviceByName: (name) => views.get(name), serviceNames: () => views.keys() };
      let on: PlanNode = planNode("n1", "", []);
      const planner = new NodePlanner(input, on);
      const held = new Map<string, ServicePlan>();
      for (const changes of rounds) {
        const touched = new Set<string>();
        const outputs = [];
        for (const one of changes) {
          if (one.kind === "node") {
            on = planned(one.node);
            outputs.push(planner.setNode(on));
            continue;
          }
          const name = one.kind === "service" ? one.service.name : one.service;
          touched.add(name);
          const view = views.get(name);
          if (one.kind === "remove") views.delete(name);
          else if (one.kind === "service")
            views.set(name, { service: describedService(one.service), backends: view?.backends ?? [] });
          else if (view !== undefined) views.set(name, { ...view, backends: one.backends.map(describedBackend) });
        }
        outputs.push(planner.touch(touched));
        for (const plan of outputs.flatMap(({ plans }) => plans)) held.set(plan.service, plan);
        for (const [name, plan] of held) if (isEmptyPlan(plan)) held.delete(name);
        const whole = planOnce(input, on);
        const byName = (plans: Iterable<ServicePlan>): ServicePlan[] =>
          [...plans].filter((plan) => !isEmptyPlan(plan)).toSorted((a, b) => (a.service < b.service ? -1 : 1));
        assert.deepEqual(byName(held.values()), byName(whole.plans));
        assert.deepEqual(outputs.at(-1)?.notices, whole.notices);
        const frontends = [...held.values()].flatMap((plan) => plan.frontends);
        assert.equal(
          new Set(frontends.map(({ address, port, protocol: by, scope }) => `${address} ${port} ${by} ${scope}`)).size,
          frontends.length,
        );
      }
    }),
    { numRuns: 400 },
  );
});

/** What goes wrong in a change: nothing; nobody is told; a claim stays on a board; one never comes there. */
const fault = fc.constantFrom("none", "untold", "kept claim", "lost claim");

it("checks from nothing, and corrects, what was not told or is remembered wrongly", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(change, fault), { maxLength: 8 }), (changes) => {
      const views = new Map<string, ServiceView>();
      const input: PlanInput = { serviceByName: (name) => views.get(name), serviceNames: () => views.keys() };
      let on: PlanNode = planNode("n1", "", []);
      const planner = new NodePlanner(input, on);
      const held = new Map<string, ServicePlan>();
      const take = (plans: readonly ServicePlan[]): void => {
        for (const plan of plans) held.set(plan.service, plan);
      };
      for (const [one, goesWrong] of changes) {
        if (one.kind === "node") {
          on = planned(one.node);
          take(planner.setNode(on).plans);
          continue;
        }
        const name = one.kind === "service" ? one.service.name : one.service;
        const view = views.get(name);
        if (one.kind === "remove") views.delete(name);
        else if (one.kind === "service")
          views.set(name, { service: describedService(one.service), backends: view?.backends ?? [] });
        else if (view !== undefined) views.set(name, { ...view, backends: one.backends.map(describedBackend) });
        if (goesWrong !== "untold") withFault(goesWrong, () => take(planner.touch([name]).plans));
      }
      const again = new Set<string>();
      for (const name of new Set([...planner.serviceNames(), ...views.keys(), ...held.keys()])) {
        const view = views.get(name);
        if (planner.check(name, view) === undefined)
          for (const affected of planner.correct(name, view)) again.add(affected);
        const plan = planner.check(name, view);
        assert.ok(plan !== undefined, `${name} is corrected`);
        if (JSON.stringify(plan) !== JSON.stringify(held.get(name))) again.add(name);
      }
      take(planner.touch(again).plans);
      const whole = new Map(planOnce(input, on).plans.map((plan) => [plan.service, plan]));
      for (const [name, plan] of held) {
        const wanted = whole.get(name) ?? { service: name, frontends: [], rejectAddresses: [], passAddresses: [] };
        assert.deepEqual(plan, wanted);
        assert.deepEqual(planner.check(name, views.get(name)), wanted);
      }
      for (const name of whole.keys()) assert.ok(held.has(name), `${name} is planned`);
    }),
    { numRuns: 600 },
  );
});

it("gives an address that a claim of nobody holds to who claims it", () => {
  const views = new Map<string, ServiceView>();
  const input: PlanInput = { serviceByName: (name) => views.get(name), serviceNames: () => views.keys() };
  const on = planNode("n1", "", []);
  const planner = new NodePlanner(input, on);
  const put = (name: string, ip: string): readonly ServicePlan[] => {
    const described = describedService({ name, clusterIps: [ip], ports: [{ port: 80 }] });
    views.set(name, { service: described, backends: [] });
    return planner.touch([name]).plans.filter(({ service: of }) => of === name);
  };
  put("a/x", "172.30.0.1");
  withFault("kept claim", () => put("a/x", "172.30.0.2"));
  assert.deepEqual(
    put("b/y", "172.30.0.1").flatMap(({ frontends }) => frontends),
    [],
    "the fault is there",
  );
  assert.ok(planner.check("a/x", views.get("a/x")) !== undefined);
  assert.equal(planner.check("b/y", views.get("b/y")), undefined);
  const affected = planner.correct("b/y", views.get("b/y"));
  assert.ok(affected.has("b/y"));
  const wanted = planOnce(input, on).plans.filter(({ service: of }) => of === "b/y");
  assert.deepEqual(
    planner.touch(affected).plans.filter(({ service: of }) => of === "b/y"),
    wanted,
  );
  assert.deepEqual(planner.check("b/y", views.get("b/y")), wanted[0]);
});

// The first call is lost.
function withFault(goesWrong: string, run: () => void): void {
  const broken = goesWrong === "kept claim" ? "remove" : "add";
  const right = Reflect.get(ClaimBoard.prototype, broken) as (...given: unknown[]) => void;
  let calls = 0;
  const wrong = function (this: unknown, ...given: unknown[]): void {
    if (calls++ > 0) Reflect.apply(right, this, given);
  };
  if (goesWrong !== "none") Reflect.set(ClaimBoard.prototype, broken, wrong);
  try {
    run();
  } finally {
    Reflect.set(ClaimBoard.prototype, broken, right);
  }
}
