import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseAddress } from "@weft/proto/address.ts";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { MemoryDataplane } from "../dataplane/memory/memory-dataplane.ts";
import { Targets } from "../plan/targets.ts";
import { encodedBackend, encodedService } from "../sync/described-resources.ts";
import type { EncodedResource } from "../sync/described-resources.ts";
import { keepBytes } from "../sync/kept-bytes.ts";
import type { HeldResources } from "../sync/held-resources.ts";
import { Store } from "../sync/store.ts";
import { delta, fakeEpoch, snapshot } from "./fake-control-plane.ts";
import { AgentLab } from "./test-agents.ts";
import type { RunningAgent } from "./test-agents.ts";
import { digestOf, keep, lose, Plane } from "./test-plane.ts";

const described = { name: "ns/web", clusterIps: ["10.96.0.1"], ports: [{ name: "http", port: 80 }] };
const web = encodedService(described);
const [web1, web2] = [1, 2].map((i) =>
  encodedBackend({ service: "ns/web", address: `10.1.0.${i}`, ports: [{ name: "http", number: 8080 }] }),
) as [EncodedResource, EncodedResource];
const db = encodedService({ name: "ns/db", clusterIps: ["10.96.0.2"] });
const db1 = encodedBackend({ service: "ns/db", address: "10.1.1.1" });
const all = [web, web1, web2, db, db1];

const except = (...gone: readonly EncodedResource[]): EncodedResource[] => all.filter((one) => !gone.includes(one));
const ip = (text: string) => {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined);
  return parsed;
};

interface Stage {
  readonly store: Store;
  readonly dataplane: MemoryDataplane;
  readonly plane: Plane;
}

interface Case {
  readonly what: string;
  /** After `all` went live as revision 5; brings the agent to revision `to`, where the control plane has `right`. */
  readonly spoil: (stage: Stage) => Promise<void>;
  /** Default: 6. */
  readonly to?: number;
  readonly right: readonly EncodedResource[];
  /** Wrong as long as it is not found. */
  readonly live: readonly string[];
  readonly mended: readonly string[];
  /** Entries of the log. */
  readonly named: readonly RegExp[];
}

const cursor = { epoch: epoch(Number(fakeEpoch.createdMs), fakeEpoch.random), revision: revision(6) };
const everything = ["10.1.0.1:8080", "10.1.0.2:8080", "10.1.1.1:8080"];

const cases: readonly Case[] = [
  {
    what: "a lost backend that was removed next",
    spoil: async ({ store, plane }) => {
      lose(store, web2);
      await plane.sends(delta(5, 6, [], [web2]), 6);
    },
    right: except(web2),
    live: everything,
    mended: ["10.1.0.1:8080", "10.1.1.1:8080"],
    named: [/backends applied, not planned: 10\.1\.0\.2:8080;.*10\.96\.0\.1 80 TCP internal.*ns\/web:http/],
  },
  {
    what: "a lost service that was removed next",
    spoil: async ({ store, plane }) => {
      lose(store, db, db1);
      await plane.sends(delta(5, 6, [], [db, db1]), 6);
    },
    right: except(db, db1),
    live: everything,
    mended: ["10.1.0.1:8080", "10.1.0.2:8080"],
    named: [/applied, not planned;.*10\.96\.0\.2 80 TCP external.*service=ns\/db/],
  },
  {
    what: "a removed service that came back by itself and was then sent",
    spoil: async ({ store, plane }) => {
      await plane.sends(delta(5, 55, [], [db, db1]), 55);
      keep(store, db, db1);
      await plane.sends(delta(55, 6_000, [db, db1]), 6_000);
    },
    to: 6_000,
    right: all,
    live: ["10.1.0.1:8080", "10.1.0.2:8080"],
    mended: everything,
    named: [/planned, not applied;.*10\.96\.0\.2 80 TCP internal.*service=ns\/db/],
  },
  {
    what: "a lost backend that the digest still counted",
    spoil: async ({ store, plane }) => {
      (store.resources() as HeldResources).delete(web2.id);
      await plane.sends(delta(5, 6, [], [web2]), 6);
    },
    right: except(web2),
    live: everything,
    mended: ["10.1.0.1:8080", "10.1.1.1:8080"],
    named: [/backends applied, not planned: 10\.1\.0\.2:8080;.*ns\/web:http/],
  },
  {
    what: "backends that are held and not planned from",
    spoil: async ({ store, plane }) => {
      const owner = (store.resources() as HeldResources).owner(web.id);
      assert.ok(owner !== undefined);
      owner.first = -1;
      const sticky = encodedService({ ...described, affinitySeconds: 9 });
      await plane.sends(delta(5, 6, [sticky]), 6);
      await plane.sends(delta(6, 6_000, [web]), 6_000);
    },
    to: 6_000,
    right: all,
    live: ["10.1.1.1:8080"],
    mended: everything,
    named: [/action reject, planned forward; backends planned, not applied: 10\.1\.0\.1:8080.*ns\/web:http/],
  },
  {
    what: "a Service that is not what its bytes say",
    spoil: async ({ store, plane }) => {
      const decoded = store.serviceByName("ns/web")?.service;
      assert.ok(decoded !== undefined);
      decoded.affinitySeconds = 7;
      await plane.sends(delta(5, 6, [], [web2]), 6);
    },
    right: except(web2),
    live: ["10.1.0.1:8080", "10.1.1.1:8080"],
    mended: ["10.1.0.1:8080", "10.1.1.1:8080"],
    named: [/affinitySeconds 7, planned 0;.*ns\/web:http/],
  },
  {
    what: "frontends that nobody planned so",
    spoil: async ({ dataplane, plane }) => {
      await plane.sends(delta(5, 6, [], [db1]), 6);
      const [first] = dataplane.dump().filter(({ servicePort }) => servicePort === "ns/web:http");
      assert.ok(first !== undefined);
      const frontends = [
        { ...first, port: 81 },
        { ...first, targets: Targets.of([...first.targets].slice(1)) },
      ];
      const spoilt = { service: "ns/web", frontends, rejectAddresses: [ip("10.96.0.7")], passAddresses: [] };
      const unknown = { service: "ns/gone", frontends: [{ ...first, address: ip("10.96.0.9") }], rejectAddresses: [] };
      const services = [spoilt, { ...unknown, passAddresses: [] }];
      await dataplane.apply({ cursor, services, serviceCidrs: undefined }, () => undefined);
    },
    right: except(db1),
    live: ["10.1.0.1:8080", "10.1.0.2:8080"],
    mended: ["10.1.0.1:8080", "10.1.0.2:8080"],
    named: [
      /backends planned, not applied: 10\.1\.0\.1:8080;.*10\.96\.0\.1 80 TCP external.*ns\/web:http/,
      /: planned, not applied;.*10\.96\.0\.1 80 TCP internal.*ns\/web:http/,
      /applied, not planned;.*10\.96\.0\.1 81 TCP.*ns\/web:http/,
      /other ports are rejected: applied, not planned;.*10\.96\.0\.7.*ns\/web/,
      /other ports are rejected: planned, not applied;.*10\.96\.0\.1.*ns\/web/,
      /applied, not planned;.*10\.96\.0\.9 80 TCP/,
    ],
  },
];

const findings = (lab: AgentLab): number =>
  ["missing", "surplus", "differs"].reduce(
    (sum, kind) => sum + lab.count(`weft_agent_audit_findings_total{map="plan",kind="${kind}"}`),
    0,
  );

async function follow(lab: AgentLab, auditIntervalMs: number): Promise<Stage & { readonly agent: RunningAgent }> {
  const store = new Store();
  const dataplane = new MemoryDataplane();
  const agent = await lab.agent({ store, dataplane, auditIntervalMs });
  const stream = await lab.plane.stream();
  await stream.greet();
  const plane = new Plane(stream);
  await plane.sends(snapshot(5, all), 5);
  return { store, dataplane, plane, agent };
}

describe("what is live and is not the plan of what is held", () => {
  for (const { what, spoil, to = 6, right, live, mended, named } of cases) {
    it(`is named, counted and mended: ${what}`, async () => {
      // The same without an audit, so that what is found is there.
      await using unaudited = await AgentLab.start();
      const without = await follow(unaudited, 0);
      await spoil(without);
      assert.deepEqual(without.agent.backends(), live);
      const wrong = without.agent.lines();

      await using anew = await AgentLab.start();
      const planned = await anew.agent();
      const other = await anew.plane.stream();
      await other.greet();
      await new Plane(other).sends(snapshot(6, right), 6);
      assert.deepEqual(planned.backends(), mended);
      const wanted = planned.lines().join();
      assert.notEqual(wrong.join(), wanted);

      await using lab = await AgentLab.start();
      const stage = await follow(lab, 20);
      await spoil(stage);
      // Each service in a round of its own, or all in one.
      await stage.plane.beatsUntil(to, right, () => findings(lab) >= named.length);
      await stage.plane.beatsUntil(to, right, () => stage.agent.lines().join() === wanted);
      for (const line of named)
        assert.ok(
          lab.log.some((said) => line.test(said)),
          `${line}\n${lab.log.join("")}`,
        );

      // Nothing is found any more, in a whole pass that began after it was mended.
      const found = findings(lab);
      const passes = lab.count("weft_agent_audit_passes_total");
      await stage.plane.beatsUntil(to, right, () => lab.count("weft_agent_audit_passes_total") >= passes + 2);
      assert.equal(findings(lab), found);
      assert.equal(await stage.plane.beats(to, right), digestOf(right));
      assert.equal(lab.count("weft_agent_audit_errors_total"), 0);

      await stage.agent.stop();
      const restarted = await lab.agent();
      assert.deepEqual(restarted.backends(), mended, "on the disk it is right too");
    });
  }

  it("stays while no heartbeat has agreed with what is held, and a repair brings back what was lost", async () => {
    await using lab = await AgentLab.start();
    const { store, plane, agent } = await follow(lab, 20);
    await plane.beats(5, all);
    lose(store, web2);
    await plane.beatsUntil(5, all, () => lab.log.some((line) => line.includes("no control plane has confirmed")));
    assert.deepEqual(agent.backends(), everything);
    assert.equal(findings(lab), 0);
    keep(store, web2);
    const passes = lab.count("weft_agent_audit_passes_total");
    await plane.beatsUntil(5, all, () => lab.count("weft_agent_audit_passes_total") >= passes + 2);
    assert.deepEqual(agent.backends(), everything);
    assert.equal(findings(lab), 0);
  });

  it("stays where bytes were altered in place, until the control plane has repaired them", async () => {
    await using lab = await AgentLab.start();
    const { store, plane, agent } = await follow(lab, 20);
    await plane.beats(5, all);
    const held = store.resources() as HeldResources;
    const first = held.get(web2.id);
    assert.ok(first?.kind === "backend");
    const other = encodedBackend({ service: "ns/web", address: "10.1.0.9", ports: [{ name: "http", number: 8080 }] });
    held.set(web2.id, { ...first, bytes: keepBytes(other.bytes) });
    await plane.beatsUntil(5, all, () => lab.count("weft_agent_audit_store_mismatches_total") > 0);
    assert.notEqual(await plane.beats(5, all), digestOf(all));
    await plane.beatsUntil(5, all, () => lab.log.some((line) => line.includes("no control plane has confirmed")));
    assert.deepEqual(agent.backends(), everything);
    keep(store, web2);
    const passes = lab.count("weft_agent_audit_passes_total");
    await plane.beatsUntil(5, all, () => lab.count("weft_agent_audit_passes_total") >= passes + 2);
    assert.deepEqual(agent.backends(), everything);
  });
});
