/**
 * What every dataplane promises, as one suite that each runs against itself. Compared are plan lines: what packets can hit.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "node:test";
import { parseAddress, type Address } from "@weft/proto/address.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import type { Frontend } from "../plan/frontend.ts";
import { planLines } from "../plan/plan-line.ts";
import { Targets, type Target } from "../plan/targets.ts";
import type { Dataplane, Round, ServicePlan } from "./dataplane.ts";
import type { Sizes } from "./memory/admit.ts";

export interface ConformanceSubject {
  /** For the names of tests. */
  readonly name: string;
  /** False, or the reason why it cannot run here. */
  readonly skip?: string | false;
  /** Makes a fresh, empty one; the suite opens and disposes of it. Limits are at least `conformanceLimits`. */
  create(max: Sizes): Promise<Dataplane> | Dataplane;
  /** Whether it serves, and therefore dumps, this part of a plan. */
  serves(frontend: Frontend): boolean;
}

/** Small enough that 1,000 backends never fit, large enough that 100 always do, also beside the revision before. */
export const conformanceLimits: Sizes = { frontends: 256, backends: 512, services: 64 };

const waitMsMax = 5_000;

export function describeDataplane(subject: ConformanceSubject): void {
  const served = (...plans: ServicePlan[]): string[] =>
    planLines(plans.flatMap(({ frontends }) => frontends).filter((frontend) => subject.serves(frontend)));
  const dumped = (dataplane: Dataplane): string[] => planLines(dataplane.dump());
  const open = async (): Promise<Dataplane> => {
    const dataplane = await subject.create(conformanceLimits);
    await dataplane.open();
    return dataplane;
  };

  describe(`${subject.name} dataplane`, { skip: subject.skip ?? false }, () => {
    it("is empty when it is new", async () => {
      await using dataplane = await subject.create(conformanceLimits);
      assert.deepEqual(await dataplane.open(), { cursor: undefined });
      assert.deepEqual(dumped(dataplane), []);
      for (const { name, max } of dataplane.limits()) assert.equal(max, conformanceLimits[name], name);
    });

    it("holds what the plan says, in both families and for every action", async () => {
      await using dataplane = await open();
      const plans = [
        service("a/web", "172.30.0.1", targets("10.0.0", 3)),
        service("a/six", "fd00::1", [target("fd00:1::1", 80), target("fd00:1::2", 81)]),
        service("a/none", "172.30.0.2", [], { action: "reject" }),
        service("a/remote", "172.30.0.3", [], { action: "drop" }),
        service("a/sticky", "172.30.0.4", targets("10.0.4", 2), { affinitySeconds: 10_800 }),
        service("a/dns", "172.30.0.5", targets("10.0.5", 2), { protocol: "UDP" }),
      ];
      const result = await dataplane.apply(round(1, plans), ignore);
      assert.deepEqual(result.failures, []);
      assert.deepEqual(dumped(dataplane), served(...plans));
    });

    it("holds frontends of every kind and protocol, and those that not every source may use", async () => {
      await using dataplane = await open();
      const kinds = ["ClusterIP", "ExternalIP", "LoadBalancerIP", "NodePort"] as const;
      const protocols = ["TCP", "UDP", "SCTP"] as const;
      const sourceRanges = [{ address: address("10.0.0.0"), length: 8 }];
      const plans = kinds.flatMap((kind, i) =>
        protocols.map((protocol) =>
          service(`a/${kind}-${protocol}`.toLowerCase(), `198.51.100.${i}`, targets(`10.0.${i}`, 2), {
            kind,
            protocol,
            sourceRanges: kind === "LoadBalancerIP" ? sourceRanges : undefined,
          }),
        ),
      );
      const result = await dataplane.apply(round(1, plans), ignore);
      assert.deepEqual(result.failures, []);
      assert.deepEqual(dumped(dataplane), served(...plans));
      await dataplane.replaceAll(round(2, plans.slice(3)), ignore);
      assert.deepEqual(dumped(dataplane), served(...plans.slice(3)));
    });

    it("replaces, empties and removes a service", async () => {
      await using dataplane = await open();
      const other = service("a/other", "172.30.0.2", targets("10.0.9", 2));
      await dataplane.apply(round(1, [service("a/web", "172.30.0.1", targets("10.0.0", 3)), other]), ignore);
      const steps = [
        service("a/web", "172.30.0.1", targets("10.0.1", 4)),
        service("a/web", "172.30.0.1", [], { action: "reject" }),
        service("a/web", "172.30.0.7", targets("10.0.1", 1)),
        gone("a/web"),
        service("a/web", "172.30.0.1", targets("10.0.0", 3)),
      ];
      for (const [i, step] of steps.entries()) {
        await dataplane.apply(round(i + 2, [step]), ignore);
        assert.deepEqual(dumped(dataplane), served(step, other), `step ${i}`);
      }
    });

    it("shows nothing of a round before its activation, and calls back once", async () => {
      await using dataplane = await open();
      const before = [
        service("a/web", "172.30.0.1", targets("10.0.0", 3)),
        service("a/db", "172.30.0.2", targets("10.1.0", 3)),
      ];
      const after = [
        service("a/web", "172.30.0.1", targets("10.0.1", 2)),
        service("a/db", "172.30.0.2", targets("10.1.1", 2)),
      ];
      await dataplane.apply(round(1, before), ignore);
      let calls = 0;
      await dataplane.apply(round(2, after), () => {
        calls++;
        assert.deepEqual(dumped(dataplane), served(...before));
      });
      assert.equal(calls, 1);
      assert.deepEqual(dumped(dataplane), served(...after));
    });

    it("activates nothing of a round whose callback throws", async () => {
      await using dataplane = await open();
      const before = service("a/web", "172.30.0.1", targets("10.0.0", 3));
      await dataplane.apply(round(1, [before]), ignore);
      const fail = (): never => {
        throw new Error("no space left on the disk");
      };
      const after = [
        service("a/web", "172.30.0.1", targets("10.0.1", 2)),
        service("a/new", "172.30.0.2", targets("10.1.1", 2)),
      ];
      await assert.rejects(dataplane.apply(round(2, after), fail), /no space left/);
      assert.deepEqual(dumped(dataplane), served(before));
      await dataplane.apply(round(2, after), ignore);
      assert.deepEqual(dumped(dataplane), served(...after));
    });

    it("is seen at a whole revision at every moment", async () => {
      await using dataplane = await open();
      const plansAt = (at: number): ServicePlan[] =>
        ["172.30.0.1", "172.30.0.2", "fd00::3"].map((clusterIp, i) =>
          service(
            `a/s${i}`,
            clusterIp,
            i === 2 ? [target(`fd00:1::${at}`, 80)] : targets(`10.${i}.${at}`, 1 + (at % 3)),
          ),
        );
      const whole = new Set<string>();
      for (let at = 1; at <= 30; at++) whole.add(served(...plansAt(at)).join("\n"));
      await dataplane.apply(round(1, plansAt(1)), ignore);
      const applied = new AbortController();
      const torn: string[] = [];
      const watch = async (): Promise<void> => {
        while (!applied.signal.aborted) {
          const seen = dumped(dataplane).join("\n");
          if (!whole.has(seen)) torn.push(seen);
          await sleep(0);
        }
      };
      const watching = watch();
      try {
        for (let at = 2; at <= 30; at++) await dataplane.apply(round(at, plansAt(at)), ignore);
      } finally {
        applied.abort();
        await watching;
      }
      assert.deepEqual(torn, []);
    });

    it("removes what a replacement of everything does not name", async () => {
      await using dataplane = await open();
      const kept = service("a/web", "172.30.0.1", targets("10.0.0", 3));
      await dataplane.apply(round(1, [kept, service("a/old", "172.30.0.2", targets("10.1.0", 3))]), ignore);
      const added = service("a/new", "172.30.0.3", targets("10.2.0", 1));
      await dataplane.replaceAll(round(2, [kept, added]), () =>
        assert.equal(
          dumped(dataplane).some((line) => line.includes("a/new")),
          false,
        ),
      );
      assert.deepEqual(dumped(dataplane), served(kept, added));
      await dataplane.replaceAll(round(3, []), ignore);
      assert.deepEqual(dumped(dataplane), []);
    });

    it("hands a frontend from one service to another in one round", async () => {
      await using dataplane = await open();
      await dataplane.apply(round(1, [service("a/first", "172.30.0.1", targets("10.0.0", 3))]), ignore);
      const second = service("a/second", "172.30.0.1", targets("10.1.0", 2));
      for (const order of [
        [second, gone("a/first")],
        [gone("a/first"), second],
      ]) {
        await dataplane.apply(round(2, order), ignore);
        assert.deepEqual(dumped(dataplane), served(second));
        await dataplane.apply(
          round(3, [gone("a/second"), service("a/first", "172.30.0.1", targets("10.0.0", 3))]),
          ignore,
        );
      }
    });

    it("quarantines a service that does not fit, and the rest of the round goes live", async () => {
      await using dataplane = await open();
      const rest = service("a/rest", "172.30.0.2", targets("10.1.0", 5));
      const result = await dataplane.apply(
        round(1, [service("a/huge", "172.30.0.1", targets("10.9", 1_000)), rest]),
        ignore,
      );
      assert.deepEqual(named(result.failures), ["a/huge capacity"]);
      assert.deepEqual(dumped(dataplane), served(rest));
    });

    it("keeps the last good state of a service that no longer fits, less the backends that left", async () => {
      await using dataplane = await open();
      const held = targets("10.0.0", 4);
      await dataplane.apply(round(1, [service("a/web", "172.30.0.1", held)]), ignore);
      const stayed = held.slice(2);
      const wanted = [...stayed, ...targets("10.9", 1_000)];
      const result = await dataplane.apply(round(2, [service("a/web", "172.30.0.1", wanted)]), ignore);
      assert.deepEqual(named(result.failures), ["a/web capacity"]);
      assert.deepEqual(dumped(dataplane), served(service("a/web", "172.30.0.1", stayed)));
      await dataplane.apply(round(3, [service("a/web", "172.30.0.1", targets("10.9", 1_000))]), ignore);
      const empty = service("a/web", "172.30.0.1", [], { action: "reject" });
      assert.deepEqual(dumped(dataplane), served(empty), "all backends left: nothing that is gone is ever chosen");
    });

    it("lists a quarantined service in later rounds, and no longer once it fits", async () => {
      await using dataplane = await open();
      await dataplane.apply(round(1, [service("a/huge", "172.30.0.1", targets("10.9", 1_000))]), ignore);
      const other = service("a/other", "172.30.0.2", targets("10.1.0", 1));
      const later = await dataplane.apply(round(2, [other]), ignore);
      assert.deepEqual(named(later.failures), ["a/huge capacity"]);
      const small = service("a/huge", "172.30.0.1", targets("10.9", 3));
      const smaller = await dataplane.apply(round(3, [small]), ignore);
      assert.deepEqual(named(smaller.failures), []);
      assert.deepEqual(dumped(dataplane), served(small, other));
    });

    it("takes a quarantined service in by itself once another has freed the space", async () => {
      await using dataplane = await open();
      const waiting = service("a/waiting", "172.30.0.1", targets("10.8", 300));
      await dataplane.apply(round(1, [service("a/large", "172.30.0.2", targets("10.9", 300))]), ignore);
      const full = await dataplane.apply(round(2, [waiting]), ignore);
      assert.deepEqual(named(full.failures), ["a/waiting capacity"]);
      let result = await dataplane.apply(round(3, [gone("a/large")]), ignore);
      // The kernel frees after a grace period: the round after it finds the space.
      for (let waitedMs = 0; result.failures.length > 0 && waitedMs < waitMsMax; waitedMs += 20) {
        await sleep(20);
        result = await dataplane.apply(round(3, []), ignore);
      }
      assert.deepEqual(result.failures, []);
      assert.deepEqual(dumped(dataplane), served(waiting));
    });

    it("forgets a quarantined service that is removed", async () => {
      await using dataplane = await open();
      await dataplane.apply(round(1, [service("a/huge", "172.30.0.1", targets("10.9", 1_000))]), ignore);
      const removed = await dataplane.apply(round(2, [gone("a/huge")]), ignore);
      assert.deepEqual(removed.failures, []);
      await dataplane.apply(round(3, [service("b/huge", "172.30.0.1", targets("10.9", 1_000))]), ignore);
      const replaced = await dataplane.replaceAll(round(4, []), ignore);
      assert.deepEqual(replaced.failures, []);
      assert.deepEqual(dumped(dataplane), []);
    });

    it("gives a quarantined service's frontend to the service that holds it now", async () => {
      await using dataplane = await open();
      const frontends = [...service("a/web", "172.30.0.1", targets("10.0.0", 2)).frontends];
      frontends.push(...service("a/web", "172.30.0.2", targets("10.0.0", 2)).frontends);
      await dataplane.apply(
        round(1, [{ service: "a/web", frontends, rejectAddresses: [], passAddresses: [] }]),
        ignore,
      );
      const huge = service("a/web", "172.30.0.1", [...targets("10.0.0", 2), ...targets("10.9", 1_000)]);
      const winner = service("a/winner", "172.30.0.2", targets("10.1.0", 1));
      const result = await dataplane.apply(round(2, [huge, winner]), ignore);
      assert.deepEqual(named(result.failures), ["a/web capacity"]);
      assert.deepEqual(dumped(dataplane), served(service("a/web", "172.30.0.1", targets("10.0.0", 2)), winner));
    });

    it("compares what it was given with a plan, as far as it serves it, and names whose it is", async () => {
      await using dataplane = await open();
      const web = service("a/web", "172.30.0.1", targets("10.0.0", 3));
      const dns = service("a/dns", "172.30.0.5", targets("10.0.5", 2), { protocol: "UDP" });
      const huge = service("a/huge", "172.30.0.3", targets("10.9", 1_000));
      const result = await dataplane.apply(round(1, [web, dns, huge]), ignore);
      assert.deepEqual(named(result.failures), ["a/huge capacity"]);
      for (const plan of [web, dns, huge, gone("a/other")]) assert.deepEqual(dataplane.compare(plan), [], plan.service);
      assert.deepEqual([...new Set(dataplane.services())].toSorted(), ["a/dns", "a/huge", "a/web"]);
      const fewer = service("a/web", "172.30.0.1", targets("10.0.0", 2));
      const key = "172.30.0.1 80 TCP internal";
      const compared = (plan: ServicePlan): string[] =>
        dataplane.compare(plan).flatMap(({ kind, entry }) => (entry.includes("external") ? [] : [`${kind} ${entry}`]));
      assert.deepEqual(compared(fewer), [`differs ${key}`]);
      assert.deepEqual(compared({ ...web, frontends: [] }), [`surplus ${key}`]);
      assert.deepEqual(compared({ ...web, rejectAddresses: [] }), ["surplus 172.30.0.1"]);
      assert.deepEqual(compared(gone("a/web")), [`surplus ${key}`, "surplus 172.30.0.1"]);
      const other = service("a/other", "172.30.0.9", []);
      assert.deepEqual(compared(other), ["missing 172.30.0.9 80 TCP internal", "missing 172.30.0.9"]);
      await dataplane.replaceAll(round(2, [fewer]), ignore);
      assert.deepEqual([...new Set(dataplane.services())], ["a/web"]);
      assert.deepEqual(dataplane.compare(fewer), []);
      assert.deepEqual(compared(web), [`differs ${key}`]);
    });

    it("counts what it holds, and nothing after everything is gone", async () => {
      await using dataplane = await open();
      await dataplane.apply(round(1, [service("a/web", "172.30.0.1", targets("10.0.0", 3))]), ignore);
      for (const { name, used } of dataplane.limits()) assert.ok(used > 0, `${name} in use`);
      await dataplane.apply(round(2, [gone("a/web")]), ignore);
      for (let waitedMs = 0; waitedMs < waitMsMax && dataplane.limits().some(({ used }) => used > 0); waitedMs += 20) {
        await sleep(20);
      }
      for (const { name, used } of dataplane.limits()) assert.equal(used, 0, `${name} in use`);
    });
  });
}

const ignore = (): void => undefined;
const testEpoch = epoch(1_763_881_972_000, 7);

function round(at: number, services: readonly ServicePlan[]): Round {
  return { cursor: { epoch: testEpoch, revision: revision(at) }, services, serviceCidrs: undefined };
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

function target(text: string, port: number): Target {
  return { address: address(text), port };
}

// `count` targets of IPv4, in order. The prefix has 2 or 3 bytes.
function targets(prefix: string, count: number): Target[] {
  const isShort = prefix.split(".").length === 2;
  return Array.from({ length: count }, (_, i) =>
    target(isShort ? `${prefix}.${i >> 8}.${i & 255}` : `${prefix}.${i}`, 8_080),
  );
}

// A service of one ClusterIP and port 80, both scopes.
function service(name: string, clusterIp: string, to: readonly Target[], fields: Partial<Frontend> = {}): ServicePlan {
  const of = address(clusterIp);
  const list = Targets.of(to);
  const frontends = (["external", "internal"] as const).map((scope): Frontend => ({
    address: of,
    port: 80,
    protocol: "TCP",
    scope,
    kind: "ClusterIP",
    servicePort: `${name}:http`,
    action: "forward",
    targets: list,
    affinitySeconds: 0,
    sourceRanges: undefined,
    ...fields,
  }));
  return { service: name, frontends, rejectAddresses: [of], passAddresses: [] };
}

function gone(name: string): ServicePlan {
  return { service: name, frontends: [], rejectAddresses: [], passAddresses: [] };
}

function named(failures: readonly { readonly service: string; readonly category: string }[]): string[] {
  return failures.map(({ service: name, category }) => `${name} ${category}`);
}
