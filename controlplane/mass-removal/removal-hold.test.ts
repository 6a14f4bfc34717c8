import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Compiler } from "../compile/compiler.ts";
import { endpoints, gone, node, service } from "../scripted-source.ts";
import type { RecordChange, RecordKind } from "../source/source.ts";
import type { MassRemovalLimits } from "./mass-removal.ts";
import { RemovalHold } from "./removal-hold.ts";
import type { HoldEvent } from "./removal-hold.ts";

const limits: MassRemovalLimits = { thresholdPercent: 50, servicesMin: 10, holdMs: 600_000 };
const names = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, i) => `shop/s${String(from + i).padStart(2, "0")}`);
const put = (of: readonly string[]): RecordChange[] => of.map((name) => service(name));
const slices = (of: readonly string[]): RecordChange[] => of.map((name) => endpoints(name, ["10.1.0.1"]));
const without = (of: readonly string[]): RecordChange[] => of.map((name) => gone("Service", name));
const withoutSlices = (of: readonly string[]): RecordChange[] =>
  of.map((name) => gone("EndpointSlice", `${name}-slice`));

/** Relists at 1 s, 2 s, …; what is served after each. */
class Served {
  readonly records = new Compiler();
  readonly hold: RemovalHold;
  nowMs = 0;

  constructor(before: readonly RecordChange[], of: Partial<MassRemovalLimits> = {}) {
    this.hold = new RemovalHold(this.records, { ...limits, ...of });
    this.records.apply(before);
  }

  relist(...changes: RecordChange[]): HoldEvent | undefined {
    return this.#take(changes, true);
  }

  watched(...changes: RecordChange[]): HoldEvent | undefined {
    return this.#take(changes, false);
  }

  /** A relist of one kind. */
  relistOf(kind: RecordKind, ...changes: RecordChange[]): HoldEvent | undefined {
    return this.#take(changes, true, [kind]);
  }

  confirm(): HoldEvent | undefined {
    return this.hold.confirm(this.nowMs);
  }

  get services(): string[] {
    return [...this.records.serviceNames].toSorted();
  }

  /** Services that have slices. */
  get backed(): string[] {
    return this.services.filter((name) => [...this.records.slicesOf(name)].length > 0);
  }

  #take(changes: RecordChange[], isRelist: boolean, kinds?: readonly RecordKind[]): HoldEvent | undefined {
    this.nowMs += 1_000;
    const batch = { changes, isRelist, ...(kinds === undefined ? {} : { kinds }) };
    return this.hold.take({ ...batch, noticedAtMs: this.nowMs }, this.nowMs);
  }
}

describe("a relist is held", () => {
  const some = names(20);
  const cases: readonly (readonly [name: string, served: Served, relist: readonly RecordChange[], held: number])[] = [
    ["that removes all", new Served(put(some)), without(some), 20],
    ["that removes more than half", new Served(put(some)), without(names(11)), 11],
    ["not if it removes half", new Served(put(some)), without(names(10)), 0],
    ["not if it removes fewer than 10", new Served(put(names(9))), without(names(9)), 0],
    ["that replaces them by others", new Served(put(names(12))), [...without(names(12)), ...put(names(15, 50))], 12],
    ["that takes the slices of most", new Served([...put(some), ...slices(some)]), withoutSlices(names(11)), 11],
    [
      "not if services get other slices",
      new Served([...put(some), ...slices(some)]),
      [...withoutSlices(some), ...names(20).map((name) => sliceOf(name, "other"))],
      0,
    ],
    ["not for slices of services that are not there", new Served(slices(some)), withoutSlices(some), 0],
    ["not if that is switched off", new Served(put(some), { thresholdPercent: 0 }), without(some), 0],
    ["at a threshold of its own", new Served(put(some), { thresholdPercent: 90 }), without(names(18)), 0],
    ["above a threshold of its own", new Served(put(some), { thresholdPercent: 90 }), without(names(19)), 19],
  ];
  for (const [name, served, relist, held] of cases) {
    test(name, () => {
      const before = [served.services, served.backed];
      const event = served.relist(...relist);
      assert.equal(served.hold.held?.services ?? 0, held);
      assert.equal(event?.kind, held > 0 ? "began" : undefined);
      const kept = new Set([...served.services, ...served.backed]);
      if (held > 0)
        assert.deepEqual(
          before.flat().filter((one) => !kept.has(one)),
          [],
        );
    });
  }
});

function sliceOf(name: string, suffix: string): RecordChange {
  const change = endpoints(name, ["10.1.0.2"]);
  assert.ok(change.op === "put");
  return { op: "put", record: { ...change.record, name: `${name}-${suffix}` } as typeof change.record };
}

describe("while a hold stands", () => {
  const lost = names(15);
  const staying = names(5, 15);
  const all = [...lost, ...staying];
  const begun = (): Served => {
    const served = new Served([...put(all), ...slices(all), node("n1", "z1")]);
    assert.equal(served.relist(...without(lost), ...withoutSlices(lost), gone("Node", "n1"))?.kind, "began");
    assert.deepEqual([served.services, served.backed], [all, all]);
    assert.equal(served.records.nodeViewOf("n1").zone, "z1");
    return served;
  };

  test("it says how many, of how many, since when and until when", () => {
    const { services, ofServices, sinceMs, untilMs, names: named } = begun().hold.held ?? assert.fail();
    assert.deepEqual([services, ofServices, sinceMs, untilMs, named], [15, 20, 1_000, 601_000, lost]);
  });

  test("additions and changes go on, and no addition ends it", () => {
    const served = begun();
    assert.equal(served.relist(...put(names(40, 60)), sliceOf(staying[0] ?? "", "more")), undefined);
    assert.equal(served.services.length, 60);
    assert.equal([...served.records.slicesOf(staying[0] ?? "")].length, 2);
    assert.equal(served.hold.held?.services, 15);
  });

  test("what stays loses a slice as long as it has another", () => {
    const served = begun();
    const [one = "", two = ""] = staying;
    served.relist(sliceOf(one, "more"));
    served.relist(...withoutSlices([one, two]));
    assert.deepEqual([...served.records.slicesOf(one)], [`${one}-more`]);
    assert.deepEqual([...served.records.slicesOf(two)], [`${two}-slice`]);
    assert.equal(served.hold.held?.services, 16);
  });

  test("a service that a watch removes goes at once, with its slices", () => {
    const served = begun();
    const [one = ""] = staying;
    served.watched(...withoutSlices([one]), ...without([one]));
    assert.equal(served.services.includes(one), false);
    assert.equal(served.hold.held?.services, 15);
  });

  test("slices of what is held stay, whoever removes them", () => {
    const served = new Served([...put(all), ...slices(all)]);
    served.relist(...without(lost));
    served.watched(...withoutSlices(lost));
    assert.deepEqual(served.backed, all);
  });

  test("more may be lost, in any order of kinds", () => {
    const served = new Served([...put(all), ...slices(all)]);
    assert.equal(served.relist(...withoutSlices(all))?.kind, "began");
    assert.equal(served.relist(...without(all)), undefined);
    assert.deepEqual([served.services, served.backed], [all, all]);
    assert.equal(served.confirm()?.kind, "ended");
    assert.deepEqual([served.services, served.backed], [[], []]);
  });

  test("a folder swapped back leaves nothing of the wrong one", () => {
    const served = new Served([...put(all), ...slices(all)]);
    const wrong = names(30, 60);
    served.relist(...without(all), ...withoutSlices(all), ...put(wrong), ...slices(wrong));
    assert.equal(served.services.length, 50);
    const event = served.relist(...without(wrong), ...withoutSlices(wrong), ...put(all), ...slices(all));
    assert.equal(event?.kind === "ended" ? event.how : undefined, "came-back");
    assert.deepEqual([served.services, served.backed], [all, all]);
  });

  test("a service that comes back keeps its slices until one of them does", () => {
    const served = begun();
    const [one = ""] = lost;
    assert.equal(served.watched(service(one)), undefined);
    assert.deepEqual([...served.records.slicesOf(one)], [`${one}-slice`]);
    assert.equal(served.hold.held?.services, 15);
    assert.equal(served.watched(sliceOf(one, "new"))?.kind, "changed");
    assert.deepEqual([...served.records.slicesOf(one)], [`${one}-new`]);
    assert.equal(served.hold.held?.services, 14);
  });

  test("what comes back one by one, as from a backup, takes nothing away; it ends with the last", () => {
    const served = begun();
    const last = lost.at(-1) ?? "";
    for (const name of lost.slice(0, -1)) {
      served.watched(...put([name]), ...slices([name]));
      assert.deepEqual([served.services, served.backed], [all, all]);
    }
    assert.equal(served.hold.held?.services, 1);
    const event = served.watched(...put([last]), ...slices([last]));
    assert.equal(event?.kind === "ended" ? event.how : undefined, "came-back");
    assert.deepEqual([served.services, served.backed], [all, all]);
    assert.equal(served.records.nodeViewOf("n1").zone, "");
    assert.equal(served.hold.held, undefined);
  });

  test("it goes on once it has lasted, counted from the first relist, and not before", () => {
    const served = begun();
    served.relist(...without(staying));
    assert.equal(served.hold.dueAtMs, 601_000);
    assert.equal(served.hold.pass(600_999), undefined);
    assert.deepEqual(served.services, all);
    const event = served.hold.pass(601_000);
    assert.deepEqual(event?.kind === "ended" && [event.how, event.removal.services], ["lasted", 20]);
    assert.deepEqual(served.services, []);
  });

  test("confirmed, it goes on at once, and the next one is doubted again", () => {
    const served = begun();
    assert.equal(served.confirm()?.kind, "ended");
    assert.deepEqual([served.services, served.backed], [staying, staying]);
    assert.equal(served.confirm(), undefined);
    served.relist(...put(names(20, 40)));
    assert.equal(served.relist(...without(names(20, 40)))?.kind, "began");
  });
});

describe("a confirmation is for one loss, read one kind at a time", () => {
  const all = names(20);
  /** Also services without slices, of which slices cannot tell. */
  const bare = names(12, 20);
  const lostSlices = (): Served => {
    const served = new Served([...put([...all, ...bare]), ...slices(all)]);
    assert.equal(served.relistOf("EndpointSlice", ...withoutSlices(all))?.kind, "began");
    assert.deepEqual(served.backed, all);
    return served;
  };

  test("what the other kind's relist adds goes on at once, and is said", () => {
    const served = lostSlices();
    assert.equal(served.confirm()?.kind, "ended");
    const event = served.relistOf("Service", ...without([...all, ...bare]));
    assert.deepEqual(event?.kind === "covered" && [event.removal.services, event.removal.ofServices], [32, 32]);
    assert.deepEqual(served.services, []);
    assert.equal(served.hold.held, undefined);
  });

  const doubted: readonly (readonly [name: string, between: (served: Served) => void])[] = [
    ["the same kind's next relist", (served) => served.relistOf("EndpointSlice", ...slices(all))],
    ["a second relist of the other kind", (served) => served.relistOf("Service")],
    ["one that comes after the hold time", (served) => (served.nowMs += limits.holdMs)],
    ["one behind another hold", (served) => losesSlicesAgain(served)],
  ];
  for (const [name, between] of doubted) {
    test(`not for ${name}`, () => {
      const served = lostSlices();
      served.confirm();
      between(served);
      const isOfSlices = name.startsWith("the same");
      const event = isOfSlices
        ? served.relistOf("EndpointSlice", ...withoutSlices(all))
        : served.relistOf("Service", ...without([...all, ...bare]));
      assert.equal(event?.kind, "began");
      assert.deepEqual(served.services, [...all, ...bare]);
    });
  }

  test("nor where both kinds were read before it", () => {
    const served = lostSlices();
    served.relistOf("Service", ...without(all));
    served.confirm();
    assert.deepEqual(served.services, bare);
    assert.equal(served.relistOf("Service", ...without(bare))?.kind, "began");
  });

  // The slices come back, are lost again, and come back: a hold began and ended.
  function losesSlicesAgain(served: Served): void {
    served.relistOf("EndpointSlice", ...slices(all));
    assert.equal(served.relistOf("EndpointSlice", ...withoutSlices(all))?.kind, "began");
    served.relistOf("EndpointSlice", ...slices(all));
    assert.equal(served.hold.held, undefined);
  }
});
