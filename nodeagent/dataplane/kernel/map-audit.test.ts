import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePrefix, type Prefix } from "@weft/proto/address.ts";
import { planLines } from "../../plan/plan-line.ts";
import type { AuditFinding } from "../dataplane.ts";
import { adoptMaps } from "./adopt.ts";
import { addressElement, cidrElement, frontendElement, rangeElementKey, readRangeSets } from "./element-key.ts";
import { backendLayout, descriptorLayout, nameLayout, nodePortLayout, portsMax, stateLayout } from "./layout.ts";
import { MapAudit } from "./map-audit.ts";
import { MapReader } from "./map-reader.ts";
import { RevisionWriter } from "./revision-writer.ts";
import { RoundApplier } from "./round-applier.ts";
import { StateTable } from "./state-table.ts";
import { MemoryMaps } from "./testing/memory-maps.ts";
import { addressOf, clusterIp, goneService, ignore, roundOf } from "./testing/plans.ts";

const limits = { frontends: 64, backends: 4_096, services: 32 };
const prefix = (text: string): Prefix => {
  const parsed = parsePrefix(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
};
const many = Array.from({ length: 300 }, (_, i) => `10.1.${i >> 8}.${i & 255}:80`);
const web = clusterIp("a/web", "172.30.0.1", ["10.0.0.1:80", "10.0.0.2:80"]);
const big = clusterIp("a/big", "172.30.0.2", many);
const guarded = clusterIp("a/guarded", "203.0.113.1", ["10.0.0.1:80"], {
  kind: "LoadBalancerIP",
  sourceRanges: [prefix("10.0.0.0/8"), prefix("fd00::/64")],
});
const nodePort = clusterIp("a/port", "192.0.2.1", ["10.0.0.1:80"], { kind: "NodePort", port: 30_080 });
const frontendOf = (plan: typeof web) => {
  const [frontend] = plan.frontends;
  assert.ok(frontend !== undefined);
  return frontendElement(frontend, "");
};
const text = (ip: string, port = 80): string => `${ip} ${port} TCP internal`;

interface Stage {
  readonly maps: MemoryMaps;
  readonly audit: MapAudit;
  readonly applier: RoundApplier;
  readonly stateOf: (plan: typeof web) => number;
  readonly words: BigInt64Array;
  /** Of the descriptor that the frontend leads to: where it lies, and where its targets and name do. */
  readonly at: (plan: typeof web) => { readonly descriptor: number; readonly backends: number; readonly name: number };
}

async function stage(): Promise<Stage> {
  const maps = new MemoryMaps(limits);
  const writer = new RevisionWriter(maps, undefined, maps.store);
  const applier = new RoundApplier(maps, writer, limits);
  const serviceCidrs = [prefix("172.30.0.0/16")];
  await applier.replaceAll(roundOf(1, [web, big, guarded, nodePort], { serviceCidrs }), ignore);
  // Its states have two words now.
  await applier.apply(roundOf(2, [clusterIp("a/web", "172.30.0.1", ["10.0.0.3:80"])]), ignore);
  await applier.apply(roundOf(3, [web]), ignore);
  await applier.settled();
  const words = new BigInt64Array(maps.arrays.states);
  const stateOf = (plan: typeof web): number => maps.lookup("frontends", frontendOf(plan).bytes) ?? -1;
  const at: Stage["at"] = (plan) => {
    const word = stateOf(plan) * (stateLayout.size / 8) + stateLayout.word / 8;
    const [first = 0n, second = 0n] = [words[word], words[word + 1]];
    const descriptor = Number((first > second ? first : second) & 0xff_ffffn) * descriptorLayout.size;
    const view = new DataView(maps.arrays.descriptors);
    return {
      descriptor,
      backends: view.getUint32(descriptor + descriptorLayout.backends_base, true) * backendLayout.size,
      name: view.getUint32(descriptor + descriptorLayout.name, true) * nameLayout.size,
    };
  };
  return { maps, audit: new MapAudit(writer.audited(), String), applier, stateOf, words, at };
}

function pass({ audit }: Stage, entriesMax = 7): AuditFinding[] {
  const findings: AuditFinding[] = [];
  for (;;) {
    const step = audit.step(entriesMax);
    findings.push(...step.findings);
    if (step.isEnd) return findings;
  }
}

function served({ maps }: Stage): unknown {
  const sets = readRangeSets(maps.elements("ranges").keys);
  const elements = (["frontends", "addresses", "cidrs", "ranges"] as const).map((map) => {
    const { keys, indices } = maps.elements(map);
    return [Buffer.from(keys).toString("hex").length, indices.toSorted()];
  });
  const frontends = planLines(new MapReader(maps.arrays, sets).frontends(maps.elements("frontends"), maps.active));
  return { frontends, elements, active: maps.active, nodePorts: Buffer.from(maps.arrays.nodePorts).toString("hex") };
}

const told = (findings: readonly AuditFinding[]): string[] =>
  findings.map(({ map, kind, service, entry }) => `${map} ${kind} ${service} ${entry}`);

function flip(array: ArrayBufferLike, at: number): void {
  const bytes = new Uint8Array(array);
  bytes[at] = (bytes[at] ?? 0) ^ 0x55;
}

const webWord = ({ stateOf }: Stage): number => stateOf(web) * (stateLayout.size / 8) + stateLayout.word / 8;

/** Words of `web`; the active sequence is 3. */
const wrongWords: readonly (readonly [what: string, first: bigint | undefined, second: bigint | undefined])[] = [
  ["both zero", 0n, 0n],
  ["the first above active, leading elsewhere", (9n << 24n) | 4n, undefined],
  ["the second above active, leading elsewhere", undefined, (9n << 24n) | 4n],
  ["both above active", (9n << 24n) | 4n, (8n << 24n) | 5n],
  ["both of the active sequence, leading elsewhere", (3n << 24n) | 1n, (3n << 24n) | 2n],
  ["one above active, one leading elsewhere", (9n << 24n) | 4n, (3n << 24n) | 99n],
];

const cases: readonly (readonly [what: string, corrupt: (of: Stage) => void, found: readonly string[]])[] = [
  [
    "a frontend is deleted",
    ({ maps }) => maps.remove("frontends", frontendOf(web).bytes),
    [`frontends missing a/web ${text("172.30.0.1")}`],
  ],
  [
    "a frontend leads to another's state",
    ({ maps, stateOf }) => {
      maps.remove("frontends", frontendOf(web).bytes);
      maps.insert("frontends", frontendOf(web).bytes, stateOf(big));
    },
    [`frontends differs a/web ${text("172.30.0.1")}`],
  ],
  [
    "a frontend that nobody planned",
    ({ maps, stateOf }) => {
      const [of] = clusterIp("x/y", "172.30.9.9", ["10.0.0.1:80"]).frontends;
      assert.ok(of !== undefined);
      maps.insert("frontends", frontendElement(of, "").bytes, stateOf(web));
    },
    [`frontends surplus  ${text("172.30.9.9")}`],
  ],
  [
    "a frontend of no protocol",
    ({ maps }) => void maps.insert("frontends", new Uint8Array(20).fill(7), 1),
    [`frontends surplus  ${"07".repeat(20)}`],
  ],
  [
    "an address is deleted",
    ({ maps }) => maps.remove("addresses", addressElement(addressOf("172.30.0.1")).bytes),
    ["addresses missing a/web 172.30.0.1"],
  ],
  [
    "an address that nobody planned",
    ({ maps }) => void maps.insert("addresses", addressElement(addressOf("172.30.7.7")).bytes, 0),
    ["addresses surplus  172.30.7.7"],
  ],
  [
    "a service CIDR is deleted",
    ({ maps }) => maps.remove("cidrs", cidrElement(prefix("172.30.0.0/16")).bytes),
    ["cidrs missing  172.30.0.0/16"],
  ],
  [
    "a CIDR that nobody planned",
    ({ maps }) => void maps.insert("cidrs", cidrElement(prefix("10.0.0.0/8")).bytes, 0),
    ["cidrs surplus  10.0.0.0/8"],
  ],
  [
    "a source range is deleted",
    ({ maps }) => maps.remove("ranges", rangeElementKey(1, prefix("10.0.0.0/8"))),
    ["ranges missing a/guarded 10.0.0.0/8"],
  ],
  [
    "a source range is added",
    ({ maps }) => void maps.insert("ranges", rangeElementKey(1, prefix("11.0.0.0/8")), 1),
    ["ranges surplus  11.0.0.0/8"],
  ],
  [
    "a source range of a set that is not in use",
    ({ maps }) => void maps.insert("ranges", rangeElementKey(9, prefix("10.0.0.0/8")), 1),
    ["ranges surplus  10.0.0.0/8"],
  ],
  [
    "a key of a state",
    ({ maps, stateOf }) => flip(maps.arrays.states, stateOf(web) * stateLayout.size + 14),
    [`states differs a/web ${text("172.30.0.1")}`],
  ],
  ...wrongWords.map(([what, first, second]): (typeof cases)[number] => [
    `words: ${what}`,
    (of) => {
      if (first !== undefined) of.words[webWord(of)] = first;
      if (second !== undefined) of.words[webWord(of) + 1] = second;
    },
    [`states differs a/web ${text("172.30.0.1")}`],
  ]),
  [
    "a descriptor",
    ({ maps, at }) => flip(maps.arrays.descriptors, at(web).descriptor + descriptorLayout.action),
    [`descriptors differs a/web ${text("172.30.0.1")}`],
  ],
  [
    "the revision of a descriptor",
    ({ maps, at }) => flip(maps.arrays.descriptors, at(web).descriptor + descriptorLayout.revision + 5),
    [`descriptors differs a/web ${text("172.30.0.1")}`],
  ],
  [
    "the last target of many",
    ({ maps, at }) => flip(maps.arrays.backends, at(big).backends + 299 * backendLayout.size + backendLayout.port),
    [`backends differs a/big ${text("172.30.0.2")}`],
  ],
  [
    "a name",
    ({ maps, at }) => flip(maps.arrays.names, at(web).name + nameLayout.text),
    [`names differs a/web ${text("172.30.0.1")}`],
  ],
  [
    "a NodePort of the guard",
    ({ maps }) => flip(maps.arrays.nodePorts, 30_080 * nodePortLayout.size),
    ["node_ports differs  port 30080/TCP"],
  ],
  [
    "a NodePort that nobody planned",
    ({ maps }) => flip(maps.arrays.nodePorts, (portsMax + 31_000) * nodePortLayout.size),
    ["node_ports differs  port 31000/UDP"],
  ],
  [
    "the activated sequence",
    ({ maps }) => void new BigInt64Array(maps.arrays.active).fill(77n),
    ["active differs  the activated sequence"],
  ],
  [
    "the record of the activation",
    ({ maps }) => flip(maps.arrays.activations, 3 * 32 + 24),
    ["active differs  the activated sequence"],
  ],
];

describe("audit of the maps", () => {
  it("finds nothing in what was written, and in what was adopted", async () => {
    const of = await stage();
    assert.deepEqual(told(pass(of)), []);
    assert.deepEqual(told(pass(of, 1)), []);
  });

  for (const [what, corrupt, found] of cases) {
    it(`finds, names and repairs: ${what}`, async () => {
      const of = await stage();
      const before = served(of);
      corrupt(of);
      const findings = pass(of);
      assert.deepEqual(told(findings), found);
      assert.ok(findings.every(({ failure }) => failure === undefined));
      assert.deepEqual(served(of), before);
      assert.deepEqual(told(pass(of)), []);
      // What was repaired can be written again.
      await of.applier.apply(roundOf(4, [goneService("a/web"), goneService("a/guarded")]), ignore);
      await of.applier.settled();
      assert.deepEqual(told(pass(of)), []);
    });
  }

  it("says what the kernel refuses, and tries it again", async () => {
    const of = await stage();
    const insert = of.maps.insert.bind(of.maps);
    of.maps.remove("frontends", frontendOf(web).bytes);
    of.maps.insert = () => 12;
    assert.match(pass(of)[0]?.failure ?? "", /refused the element: 12/);
    of.maps.insert = insert;
    assert.deepEqual(told(pass(of)), [`frontends missing a/web ${text("172.30.0.1")}`]);
  });

  it("never touches what a round between two steps wrote or freed", async () => {
    const of = await stage();
    let ended = 0;
    for (let round = 4; round < 120; round++) {
      const targets = many.slice(round % 7, 150 + (round % 90));
      const services = [round % 3 === 0 ? goneService("a/big") : clusterIp("a/big", "172.30.0.2", targets)];
      if (round % 2 === 0) services.push(clusterIp(`a/s${round % 10}`, `172.30.1.${round % 10}`, targets));
      if (round % 5 === 0) services.push(goneService(`a/s${(round * 2) % 10}`));
      await of.applier.apply(roundOf(round, services), ignore);
      if (round % 4 === 0) await of.applier.settled();
      const step = of.audit.step(3 + (round % 40));
      assert.deepEqual(told(step.findings), []);
      if (step.isEnd) ended++;
    }
    assert.ok(ended > 0, "no pass came to its end");
  });

  for (const [what, first, second] of wrongWords) {
    it(`has a reader take the right word from the first store of the repair on: ${what}`, async () => {
      const of = await stage();
      const table = new StateTable(of.maps.arrays.states);
      const right = table.chosen(of.stateOf(web), of.maps.active);
      if (first !== undefined) of.words[webWord(of)] = first;
      if (second !== undefined) of.words[webWord(of) + 1] = second;
      const chosen: number[] = [];
      const index = of.stateOf(web);
      const pair = (): string => of.words.subarray(webWord(of), webWord(of) + 2).join();
      const wrong = pair();
      of.maps.onStep = () => {
        if (pair() !== wrong) chosen.push(table.chosen(index, of.maps.active));
      };
      pass(of);
      assert.ok(chosen.length > 0);
      assert.deepEqual(new Set(chosen), new Set([right]));
    });
  }

  it("takes a word above active for wrong, also if it leads where it should", async () => {
    const of = await stage();
    const before = served(of);
    const right = BigInt(new StateTable(of.maps.arrays.states).chosen(of.stateOf(web), of.maps.active));
    of.words[webWord(of)] = (9n << 24n) | right;
    of.words[webWord(of) + 1] = (2n << 24n) | 99n;
    assert.deepEqual(told(pass(of)), [`states differs a/web ${text("172.30.0.1")}`]);
    assert.deepEqual(served(of), before);
    assert.equal((of.words[webWord(of)] ?? 0n) >> 24n, of.maps.active);
  });

  it("repairs what a writer took over, only where that writer mapped the arrays", async () => {
    const { maps, at } = await stage();
    maps.killWriter();
    const writer = new RevisionWriter(maps, undefined, maps.store);
    writer.adopt(adoptMaps(maps, maps.store));
    for (const plan of [web, big, guarded, nodePort]) {
      const { descriptor, backends, name } = at(plan);
      const lastTarget = ((plan.frontends[0]?.targets.length ?? 0) - 1) * backendLayout.size;
      flip(maps.arrays.descriptors, descriptor + descriptorLayout.revision);
      flip(maps.arrays.backends, backends + lastTarget + backendLayout.port);
      flip(maps.arrays.names, name + nameLayout.text);
    }
    maps.trim();
    const audit = new MapAudit(writer.audited(), String);
    const found = new Set<string>();
    for (let isEnd = false; !isEnd;) {
      const step = audit.step(7);
      for (const { map } of step.findings) found.add(map);
      ({ isEnd } = step);
    }
    assert.deepEqual([...found].toSorted(), ["backends", "descriptors", "names"]);
    maps.checkReached();
  });

  it("leaves alone what another service got meanwhile of a list it is in the middle of", async () => {
    const of = await stage();
    // In the middle of the targets of the big one: its first part was looked at.
    for (let steps = 0, isThere = false; !isThere; steps++) {
      assert.ok(steps < 100);
      const at = of.at(big).backends + 5 * backendLayout.size + backendLayout.port;
      if (steps === 0) flip(of.maps.arrays.backends, at);
      isThere = told(of.audit.step(1).findings).some((line) => line.startsWith("backends"));
    }
    await of.applier.apply(roundOf(4, [goneService("a/big")]), ignore);
    await of.applier.settled();
    const next = clusterIp(
      "a/next",
      "172.30.0.3",
      many.map((target) => target.replace(":80", ":81")),
    );
    await of.applier.apply(roundOf(5, [next]), ignore);
    const before = served(of);
    assert.deepEqual(told(pass(of)), []);
    assert.deepEqual(served(of), before);
  });
});
