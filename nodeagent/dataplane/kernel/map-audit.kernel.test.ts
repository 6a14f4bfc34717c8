import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { parsePrefix, type Prefix } from "@weft/proto/address.ts";
import type { AuditFinding, ServicePlan } from "../dataplane.ts";
import { addressElement, cidrElement, frontendElement, rangeElementKey } from "./element-key.ts";
import { stateLayout } from "./layout.ts";
import { closeFd, getPinned, lookupElement, mapMaxEntries, mapMemory, removeElement, updateElement } from "./libbpf.ts";
import { kernelTestsSkipped } from "./testing/kernel-lab.ts";
import { addressOf, clusterIp } from "./testing/plans.ts";
import { SocketStage } from "./testing/socket-stage.ts";

const backend = "127.0.0.2:28101";
const owners: Readonly<Record<string, string>> = { 1: "web", 2: "other", 3: "guarded" };
const prefix = (text: string): Prefix => {
  const parsed = parsePrefix(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
};
const web = clusterIp("a/web", "203.0.113.1", [backend]);
const other = clusterIp("a/other", "203.0.113.2", ["127.0.0.2:28102"]);
const guarded: ServicePlan = {
  ...clusterIp("a/guarded", "203.0.113.3", [backend], {
    kind: "LoadBalancerIP",
    sourceRanges: [prefix("127.0.0.0/8")],
  }),
  rejectAddresses: [],
};
const elementOf = ({ frontends: [frontend] }: ServicePlan) => {
  assert.ok(frontend !== undefined);
  return frontendElement(frontend, "");
};

describe("audit of the kernel's maps, changed by another process's means", { skip: kernelTestsSkipped() }, () => {
  let stage: SocketStage;
  before(async () => {
    stage = await SocketStage.make();
    await stage.apply([web, other, guarded], { serviceCidrs: [prefix("203.0.113.0/24")] });
  });
  after(() => stage[Symbol.asyncDispose]());

  function withMap<T>(map: string, use: (fd: number) => T): T {
    const fd = getPinned(stage.pinOf(map));
    assert.ok(fd !== undefined, map);
    try {
      return use(fd);
    } finally {
      closeFd(fd);
    }
  }
  const remove = (map: string, key: Uint8Array): void => assert.ok(withMap(map, (fd) => removeElement(fd, key)) === 0);
  const put = (map: string, key: Uint8Array, index: number): void =>
    assert.ok(withMap(map, (fd) => updateElement(fd, key, new Uint8Array(Uint32Array.of(index).buffer), 0)) === 0);
  const indexOf = (plan: ServicePlan): number => {
    const value = new Uint32Array(1);
    assert.ok(withMap("frontends", (fd) => lookupElement(fd, elementOf(plan).bytes, new Uint8Array(value.buffer))));
    return value[0] ?? 0;
  };
  /** The whole array is overwritten from `from` on. */
  const scribble = (map: string, entryBytes: number, from: number, value: number): void =>
    withMap(map, (fd) => {
      const size = Math.min(64, mapMaxEntries(fd)) * entryBytes;
      new Uint8Array(mapMemory(fd, mapMaxEntries(fd) * entryBytes, true)).fill(value, from, size);
    });
  function pass(): AuditFinding[] {
    const findings: AuditFinding[] = [];
    for (;;) {
      const step = stage.dataplane.audit(3);
      findings.push(...step.findings);
      if (step.isEnd) return findings;
    }
  }
  const connect = (address: string) => stage.answer("pod", { call: "tcp", address, port: 80 });

  const scope = "80 TCP internal";
  const cases: readonly (readonly [what: string, corrupt: () => void, found: readonly string[], isBroken: boolean])[] =
    [
      [
        "a frontend is deleted",
        () => remove("frontends", elementOf(web).bytes),
        [`frontends missing a/web 203.0.113.1 ${scope}`],
        true,
      ],
      [
        "a frontend leads to another's state",
        () => put("frontends", elementOf(web).bytes, indexOf(other)),
        [`frontends differs a/web 203.0.113.1 ${scope}`],
        true,
      ],
      [
        "a frontend of nobody",
        () => put("frontends", elementOf(clusterIp("x/y", "203.0.113.9", [backend])).bytes, 250),
        [`frontends surplus  203.0.113.9 ${scope}`],
        false,
      ],
      [
        "addresses",
        () => {
          remove("addresses", addressElement(addressOf("203.0.113.1")).bytes);
          put("addresses", addressElement(addressOf("203.0.113.8")).bytes, 0);
        },
        ["addresses missing a/web 203.0.113.1", "addresses surplus  203.0.113.8"],
        false,
      ],
      [
        "CIDRs",
        () => {
          remove("cidrs", cidrElement(prefix("203.0.113.0/24")).bytes);
          put("cidrs", cidrElement(prefix("192.0.2.0/24")).bytes, 0);
        },
        ["cidrs missing  203.0.113.0/24", "cidrs surplus  192.0.2.0/24"],
        false,
      ],
      [
        "source ranges",
        () => {
          remove("ranges", rangeElementKey(1, prefix("127.0.0.0/8")));
          put("ranges", rangeElementKey(1, prefix("10.0.0.0/8")), 1);
          put("ranges", rangeElementKey(77, prefix("10.0.0.0/8")), 1);
        },
        ["ranges missing a/guarded 127.0.0.0/8", "ranges surplus  10.0.0.0/8", "ranges surplus  10.0.0.0/8"],
        false,
      ],
      [
        "words of a state",
        () =>
          withMap("states", (fd) => {
            const memory = mapMemory(fd, mapMaxEntries(fd) * stateLayout.size, true);
            new BigInt64Array(memory, indexOf(web) * stateLayout.size + stateLayout.word, 2).fill(0n);
          }),
        [`states differs a/web 203.0.113.1 ${scope}`],
        true,
      ],
      [
        "all descriptors",
        () => scribble("descriptors", 32, 0, 0xff),
        [
          ...["1", "2", "3"].map((last) => `descriptors differs a/${owners[last]} 203.0.113.${last} ${scope}`),
          // What rejects and drops: named by the first that leads there.
          "descriptors differs a/web 203.0.113.1",
          "descriptors differs  203.0.113.0/24",
        ],
        true,
      ],
      [
        "all backends",
        () => scribble("backends", 24, 0, 0x7f),
        ["1", "2", "3"].map((last) => `backends differs a/${owners[last]} 203.0.113.${last} ${scope}`),
        true,
      ],
      [
        "all names",
        () => scribble("names", 208, 0, 1),
        ["1", "2", "3"].map((last) => `names differs a/${owners[last]} 203.0.113.${last} ${scope}`),
        false,
      ],
      ["active", () => scribble("active", 8, 0, 0), ["active differs  the activated sequence"], false],
    ];

  for (const [what, corrupt, found, isBroken] of cases) {
    it(`finds, names and repairs: ${what}`, async () => {
      assert.equal(await connect("203.0.113.1"), backend);
      corrupt();
      if (isBroken) assert.notEqual(await connect("203.0.113.1"), backend);
      const findings = pass();
      const told = findings.map(({ map, kind, service, entry }) => `${map} ${kind} ${service} ${entry}`);
      assert.deepEqual(told.toSorted(), [...found].toSorted());
      assert.ok(findings.every(({ failure }) => failure === undefined));
      assert.equal(await connect("203.0.113.1"), backend);
      assert.equal(await connect("203.0.113.2"), "127.0.0.2:28102");
      assert.equal(await connect("203.0.113.3"), backend);
      assert.deepEqual(pass(), []);
    });
  }
});
