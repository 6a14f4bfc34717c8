import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePrefix } from "@weft/proto/address.ts";
import { planLines } from "../../plan/plan-line.ts";
import type { ServicePlan } from "../dataplane.ts";
import { adoptMaps } from "./adopt.ts";
import { cgroup2Mounts } from "./cgroup.ts";
import { widestPrefixes } from "./element-key.ts";
import type { KernelMaps } from "./kernel-maps.ts";
import { MapReader } from "./map-reader.ts";
import { RevisionWriter } from "./revision-writer.ts";
import { RoundApplier } from "./round-applier.ts";
import type { State } from "./state-store.ts";
import { MemoryMaps, mapsBut } from "./testing/memory-maps.ts";
import { bothProtocols, clusterIp, goneService, ignore, roundOf } from "./testing/plans.ts";

const limits = { frontends: 16, backends: 32, services: 8 };
const one = "10.0.0.1:80";

function start(maps: KernelMaps): RoundApplier {
  const writer = new RevisionWriter(maps);
  writer.adopt(adoptMaps(maps));
  return new RoundApplier(maps, writer, limits);
}

function held(maps: MemoryMaps): string[] {
  return planLines(new MapReader(maps.arrays).frontends(maps.elements("frontends"), maps.active));
}

function linesOf(...plans: ServicePlan[]): string[] {
  return planLines(plans.flatMap(({ frontends }) => frontends));
}

describe("round applier", () => {
  for (const array of ["states", "descriptors", "backends", "names"] as const) {
    it(`quarantines a service whose ${array} cannot be mapped, keeps no slot for it, and takes it in once they can`, async () => {
      const maps = new MemoryMaps(limits);
      const applier = start(maps);
      await applier.apply(roundOf(1, [clusterIp("a/web", "172.30.0.1", [one])]), ignore);
      const reach = maps.reach.bind(maps);
      maps.reach = (of, end) => (of === array ? 12 : reach(of, end));
      const db = clusterIp("a/db", "172.30.0.2", ["10.0.1.1:80", "10.0.1.2:80"]);
      // More often than there is room for: a slot that was kept would be missed at the end.
      for (let i = 2; i < 200; i++) {
        const { failures } = await applier.apply(roundOf(i, [db]), ignore);
        assert.deepEqual(
          failures.map(({ service }) => service),
          ["a/db"],
        );
      }
      maps.reach = reach;
      const { failures } = await applier.apply(roundOf(200, [db]), ignore);
      assert.deepEqual(failures, []);
      assert.deepEqual(held(maps), linesOf(clusterIp("a/web", "172.30.0.1", [one]), db));
    });
  }

  const faults: readonly (readonly [what: string, spoil: (state: State) => void])[] = [
    ["leads nowhere", (state) => Object.assign(state, { live: undefined })],
    ["is owned by nobody", (state) => Object.assign(state, { owners: new Map(), pendingOwners: new Map() })],
  ];
  for (const [what, spoil] of faults) {
    for (const map of ["frontends", "addresses"] as const) {
      it(`compares what is remembered of states, and has it right after a round: one of ${map} ${what}`, async () => {
        const maps = new MemoryMaps(limits);
        const writer = new RevisionWriter(maps);
        const applier = new RoundApplier(maps, writer, limits);
        const web = clusterIp("a/web", "172.30.0.1", [one]);
        const db = clusterIp("a/db", "172.30.0.2", [one]);
        await applier.apply(roundOf(1, [web, db]), ignore);
        assert.deepEqual(applier.compare(web), []);
        const key = map === "frontends" ? "172.30.0.1 80 TCP internal" : "172.30.0.1";
        const state = writer.audited().states.get(map, key);
        assert.ok(state !== undefined);
        spoil(state);
        const compared = applier.compare(web).map(({ kind, entry, what: said }) => `${kind} ${entry}: ${said}`);
        assert.deepEqual(compared, [`differs ${key}: held, not live`]);
        assert.deepEqual(applier.compare(db), []);
        await applier.apply(roundOf(1, [web]), ignore);
        assert.deepEqual(applier.compare(web), []);
        assert.deepEqual(held(maps), linesOf(web, db));
      });
    }
  }

  it("quarantines a service whose element the kernel refuses, names the errno, and takes it in once it can", async () => {
    const maps = new MemoryMaps(limits);
    let errno = 0;
    let refused = 0;
    const applier = start(
      mapsBut(maps, {
        // The second new element of each service: one was made already and must go again.
        insert: (map, key, index) => (errno !== 0 && refused++ % 2 === 1 ? errno : maps.insert(map, key, index)),
      }),
    );
    const web = clusterIp("a/web", "172.30.0.1", [one]);
    await applier.apply(roundOf(1, [web]), ignore);
    errno = 12;
    const more = bothProtocols(clusterIp("a/db", "172.30.0.2", [one]));
    const { failures } = await applier.apply(roundOf(2, [more]), ignore);
    assert.deepEqual(
      failures.map(({ service, category }) => [service, category]),
      [["a/db", "kernel"]],
    );
    assert.deepEqual(held(maps), linesOf(web));
    errno = 0;
    const later = await applier.apply(roundOf(3, []), ignore);
    assert.deepEqual(later.failures, []);
    assert.deepEqual(held(maps), linesOf(web, more));
  });

  it("takes backends that left out of a service that cannot have its new ones, and does not use the reserve for others", async () => {
    const maps = new MemoryMaps(limits);
    const applier = start(maps);
    const targets = Array.from({ length: 30 }, (_, i) => `10.0.0.${i + 1}:80`);
    await applier.apply(roundOf(1, [clusterIp("a/web", "172.30.0.1", targets)]), ignore);
    const wanted = clusterIp("a/web", "172.30.0.1", [
      ...targets.slice(1),
      "10.1.0.1:80",
      "10.1.0.2:80",
      "10.1.0.3:80",
      "10.1.0.4:80",
    ]);
    const { failures } = await applier.apply(roundOf(2, [wanted]), ignore);
    assert.deepEqual(
      failures.map(({ service, category }) => [service, category]),
      [["a/web", "capacity"]],
    );
    assert.deepEqual(held(maps), linesOf(clusterIp("a/web", "172.30.0.1", targets.slice(1))));
  });

  it("finds room that only a grace frees, again and again", async () => {
    const maps = new MemoryMaps(limits);
    const applier = start(maps);
    for (let at = 1; at <= 40; at++) {
      const targets = Array.from({ length: 30 }, (_, i) => `10.0.${at}.${i + 1}:80`);
      const plan = clusterIp("a/web", "172.30.0.1", targets);
      const { failures } = await applier.apply(roundOf(at, [plan]), ignore);
      assert.deepEqual(failures, []);
      assert.deepEqual(held(maps), linesOf(plan));
    }
  });

  it("leaves alone what is already right", async () => {
    const maps = new MemoryMaps(limits);
    const plans = [
      bothProtocols(clusterIp("a/web", "172.30.0.1", [one])),
      clusterIp("a/six", "fd00::1", ["[fd00:1::1]:80"]),
    ];
    await start(maps).replaceAll(roundOf(1, plans), ignore);
    const applier = start(maps);
    const words = new Uint8Array(maps.arrays.states).slice();
    const ranges = new Uint8Array(maps.arrays.backends).slice();
    const { failures } = await applier.replaceAll(roundOf(2, plans), ignore);
    assert.deepEqual(failures, []);
    assert.deepEqual(new Uint8Array(maps.arrays.states), words);
    assert.deepEqual(new Uint8Array(maps.arrays.backends), ranges);
    assert.equal(maps.active, 2n);
  });

  it("shares one range between the frontends of a service port", async () => {
    const maps = new MemoryMaps(limits);
    const applier = start(maps);
    await applier.apply(roundOf(1, [bothProtocols(clusterIp("a/web", "172.30.0.1", [one, "10.0.0.2:80"]))]), ignore);
    const used = new BigUint64Array(maps.arrays.backends).filter((part) => part !== 0n).length;
    assert.equal(used, 2 * 2, "two backends of two non-zero parts");
    await applier.apply(roundOf(2, [goneService("a/web")]), ignore);
    await applier.settled();
    assert.equal(maps.elementCount, 0);
  });

  it("keeps an address that two services share until neither wants it", async () => {
    const maps = new MemoryMaps(limits);
    const applier = start(maps);
    const a = clusterIp("a/a", "172.30.0.1", [one]);
    const b = clusterIp("a/b", "172.30.0.1", [one], { port: 81 });
    await applier.apply(roundOf(1, [a, b]), ignore);
    await applier.apply(roundOf(2, [goneService("a/a")]), ignore);
    assert.equal(maps.elements("addresses").indices.length, 1);
    await applier.apply(roundOf(3, [goneService("a/b")]), ignore);
    assert.equal(maps.elements("addresses").indices.length, 0);
  });
});

describe("service CIDRs", () => {
  it("keeps only those that no other contains", () => {
    const prefixes = ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/16", "11.0.0.0/16", "::/0", "fd00::/64"];
    const widest = widestPrefixes(prefixes.map((text) => parsePrefix(text)).filter((prefix) => prefix !== undefined));
    assert.deepEqual(
      widest.map(({ address, length }) => `${address}/${length}`),
      ["10.0.0.0/8", "11.0.0.0/16", "::/0"],
    );
  });
});

describe("cgroup2 mounts", () => {
  it("are found on hybrid machines, with blanks in their path", () => {
    const mountinfo = [
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
      "38 31 0:37 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw",
      "39 31 0:38 / /mnt/with\\040blank rw - cgroup2 none rw",
      "",
    ].join("\n");
    assert.deepEqual(cgroup2Mounts(mountinfo), ["/sys/fs/cgroup/unified", "/mnt/with blank"]);
  });
});
