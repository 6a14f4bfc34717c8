/**
 * The writer against readers that may stop between any two of their loads, with the writer ending at any of its steps: what a
 * reader returns was live at some moment of its lookup, and what is live is always one whole revision.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parsePrefix, printSocketAddress } from "@weft/proto/address.ts";
import { frontendKey, type Frontend } from "../../plan/frontend.ts";
import type { ServicePlan } from "../dataplane.ts";
import { adoptMaps, liveCursor } from "./adopt.ts";
import { frontendElement, readRangeSets } from "./element-key.ts";
import { MapReader } from "./map-reader.ts";
import { RevisionWriter } from "./revision-writer.ts";
import { RoundApplier } from "./round-applier.ts";
import { StateTable } from "./state-table.ts";
import { MemoryMaps } from "./testing/memory-maps.ts";
import { printSources, readFrontend, type ReadingRule } from "./testing/model-reader.ts";
import { clusterIp, goneService, ignore, roundOf } from "./testing/plans.ts";

const limits = { frontends: 12, backends: 24, services: 8 };
const ips = ["172.30.0.1", "172.30.0.2", "172.30.0.3", "172.30.0.4"] as const;
const services = ["a/a", "a/b", "a/c"] as const;
const readersMax = 3;

type UndefinedPorts = "absent" | "reject" | "pass";

interface RoundCase {
  /** By ip: index of its service, or -1: nobody's. */
  readonly owners: readonly number[];
  readonly counts: readonly number[];
  /** By ip: how many ranges of sources it allows; 0: every source. */
  readonly guards: readonly number[];
  /** By ip: what its undefined ports do. */
  readonly undefinedPorts: readonly UndefinedPorts[];
  /** Step at which the writer ends; beyond the last: not at all. */
  readonly killAt: number;
  readonly isWhole: boolean;
  readonly isRolledBack: boolean;
  /** Else the next round comes while this one's grace goes on: a reader may see several activations. */
  readonly isSettled: boolean;
}

const roundCase: fc.Arbitrary<RoundCase> = fc.record({
  owners: fc.array(fc.integer({ min: -1, max: services.length - 1 }), { minLength: ips.length, maxLength: ips.length }),
  counts: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: ips.length, maxLength: ips.length }),
  guards: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: ips.length, maxLength: ips.length }),
  undefinedPorts: fc.array(fc.constantFrom<UndefinedPorts>("absent", "reject", "pass"), {
    minLength: ips.length,
    maxLength: ips.length,
  }),
  killAt: fc.oneof(
    { weight: 1, arbitrary: fc.constant(10_000) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 120 }) },
  ),
  isWhole: fc.boolean(),
  isRolledBack: fc.boolean(),
  isSettled: fc.boolean(),
});

class Killed extends Error {}
class RolledBack extends Error {}

class ZeroOnRollback extends StateTable {
  override rollback(index: number): void {
    this.clear(index);
  }
}

class TwiceIntoTheOther extends StateTable {
  override stage(index: number, sequence: bigint, descriptor: number): void {
    const at = index * 5 + 3;
    const isFirst = (this.words[at] ?? 0n) <= (this.words[at + 1] ?? 0n);
    this.store(this.words, isFirst ? at : at + 1, (sequence << 24n) | BigInt(descriptor));
  }
}

describe("revision writer", () => {
  it("shows whole revisions to every reader, whatever it is killed in", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(roundCase, { minLength: 1, maxLength: 8 }),
        fc.infiniteStream(fc.nat(1_000)),
        run("right"),
      ),
      { numRuns: Number(process.env["WEFT_PROPERTY_RUNS"] ?? 400) },
    );
  });

  const broken: readonly (readonly [string, ReadingRule, Broken])[] = [
    ["a reader that does not look at the first word again", "no second look", {}],
    ["a reader that wants the older word to be active too", "older must be active", {}],
    ["a reader that does not notice an activation between two maps", "once", {}],
    ["a writer that reuses slots without a grace", "right", { hasGrace: false }],
    ["a writer that stores zero beside a live word", "right", { Table: ZeroOnRollback }],
    ["a writer that stages twice into the other word", "right", { Table: TwiceIntoTheOther }],
  ];
  for (const [what, rule, how] of broken) {
    it(`notices ${what}`, async () => {
      const found = await fc.check(
        fc.asyncProperty(
          fc.array(roundCase, { minLength: 4, maxLength: 8 }),
          fc.infiniteStream(fc.nat(1_000)),
          run(rule, how),
        ),
        { numRuns: 5_000, endOnFailure: true, seed: 7 },
      );
      const { errorInstance } = found;
      // What is noticed during a grace comes out as its cause.
      const noticed = errorInstance instanceof Error ? [errorInstance, errorInstance.cause] : [];
      assert.match(noticed.join(), /allowed were|at sequence/, "it was never noticed");
    });
  }
});

interface Broken {
  readonly hasGrace?: boolean;
  readonly Table?: typeof StateTable;
}

function run(rule: ReadingRule, { hasGrace = true, Table = StateTable }: Broken = {}) {
  return async (cases: readonly RoundCase[], choices: fc.Stream<number>): Promise<void> => {
    const world = new World(rule, choices, hasGrace);
    let applier = await world.start(Table);
    let live = new Map<string, ServicePlan>();
    // Whose the addresses are is known again only once everything was named.
    let isRestarted = false;
    for (const [i, of] of cases.entries()) {
      const isWhole = of.isWhole || isRestarted;
      const wanted = plansOf(of, i);
      world.expect(wanted);
      const touched = [...wanted.values(), ...[...live.keys()].filter((name) => !wanted.has(name)).map(goneService)];
      const round = roundOf(i + 1, isWhole ? [...wanted.values()] : touched);
      world.killAt(of.killAt);
      const beforeActivate = of.isRolledBack
        ? () => {
            throw new RolledBack();
          }
        : ignore;
      const before = world.maps.active;
      let wasKilled = false;
      const apply = async (): Promise<void> => {
        await (isWhole ? applier.replaceAll(round, beforeActivate) : applier.apply(round, beforeActivate)).catch(
          (error: unknown) => assert.ok(error instanceof RolledBack, error as Error),
        );
        if (of.isSettled) await applier.settled();
      };
      try {
        await apply();
      } catch (error) {
        const thrown = error instanceof Error && error.cause instanceof Killed ? error.cause : error;
        if (!(thrown instanceof Killed)) throw error;
        applier = await world.restart(Table);
        isRestarted = true;
        wasKilled = true;
      }
      world.killAt(Infinity);
      if (world.maps.active > before) {
        live = wanted;
        if (isWhole && !wasKilled) isRestarted = false;
      }
      world.checkLive();
    }
    await applier.settled().catch(async () => {
      applier = await world.restart(Table);
    });
    world.killAt(Infinity);
    world.finish();
    if (rule === "right" && hasGrace && Table === StateTable) {
      world.expect(new Map());
      await applier.replaceAll(roundOf(cases.length + 1, []), ignore);
      await applier.settled();
      assert.equal(world.maps.elementCount, 0, "elements are left after everything was removed");
    }
  };
}

// Targets tell the round, so that an old or an early answer cannot look right.
function plansOf({ owners, counts, guards, undefinedPorts }: RoundCase, round: number): Map<string, ServicePlan> {
  const plans = new Map<string, ServicePlan>();
  for (const [i, ip] of ips.entries()) {
    const service = services[owners[i] ?? -1];
    if (service === undefined) continue;
    const targets = Array.from({ length: counts[i] ?? 0 }, (_, n) => `10.${round}.${i}.${n + 1}:80`);
    const ranges = Array.from({ length: guards[i] ?? 0 }, (_, n) => parsePrefix(`11.${round}.${i}.${n * 128}/25`));
    const sourceRanges = ranges.length === 0 ? undefined : ranges.filter((range) => range !== undefined);
    const plan = clusterIp(service, ip, targets, { sourceRanges });
    const before = plans.get(service);
    plans.set(service, {
      service,
      frontends: [...(before?.frontends ?? []), ...plan.frontends],
      rejectAddresses: [
        ...(before?.rejectAddresses ?? []),
        ...(undefinedPorts[i] === "reject" ? plan.rejectAddresses : []),
      ],
      passAddresses: [...(before?.passAddresses ?? []), ...(undefinedPorts[i] === "pass" ? plan.rejectAddresses : [])],
    });
  }
  return plans;
}

interface Reader {
  readonly steps: Generator<undefined, string>;
  readonly key: string;
  readonly from: bigint;
  /** It stands still between two loads until this step. */
  wakeAt: number;
}

class World {
  readonly maps = new MemoryMaps(limits);
  readonly #rule: ReadingRule;
  readonly #choices: Iterator<number>;
  readonly #hasGrace: boolean;
  readonly #readers: Reader[] = [];
  /** By sequence: frontend key -> what it does. */
  readonly #whole = new Map<bigint, ReadonlyMap<string, string>>([[0n, new Map()]]);
  /** By sequence: ClusterIP -> what its undefined ports do. */
  readonly #addresses = new Map<bigint, ReadonlyMap<string, UndefinedPorts>>();
  #stepsLeft = Infinity;
  #now = 0;
  readonly #keys = ips.map((ip) => {
    const [frontend] = clusterIp("a/a", ip, []).frontends;
    assert.ok(frontend);
    return { text: frontendKey(frontend), bytes: frontendElement(frontend, "").bytes };
  });

  constructor(rule: ReadingRule, choices: fc.Stream<number>, hasGrace: boolean) {
    this.#rule = rule;
    this.#choices = choices[Symbol.iterator]();
    this.#hasGrace = hasGrace;
    this.maps.onStep = () => this.#step();
    this.maps.onGrace = () => {
      if (this.#hasGrace) this.#endReaders();
    };
  }

  async start(Table: typeof StateTable): Promise<RoundApplier> {
    const writer = new RevisionWriter(this.maps, new Table(this.maps.arrays.states, this.maps.store), this.maps.store);
    writer.adopt(adoptMaps(this.maps, this.maps.store));
    this.maps.trim();
    await this.maps.grace();
    writer.removeOrphans();
    return new RoundApplier(this.maps, writer, limits);
  }

  /** Adoption itself is killed a few times before it comes through. */
  async restart(Table: typeof StateTable): Promise<RoundApplier> {
    for (let attempt = 0; attempt < 3; attempt++) {
      this.maps.killWriter();
      this.killAt(this.#choose(40));
      try {
        return await this.start(Table);
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }
    }
    this.maps.killWriter();
    this.killAt(Infinity);
    return this.start(Table);
  }

  killAt(step: number): void {
    this.#stepsLeft = step;
  }

  /** What the next activation makes live. */
  expect(plans: ReadonlyMap<string, ServicePlan>): void {
    const frontends = [...plans.values()].flatMap((plan) => plan.frontends);
    const addresses = [...plans.values()].flatMap(({ rejectAddresses, passAddresses }) => [
      ...rejectAddresses.map((address) => [address, "reject"] as const),
      ...passAddresses.map((address) => [address, "pass"] as const),
    ]);
    this.#addresses.set(this.maps.active + 1n, new Map(addresses));
    this.#whole.set(this.maps.active + 1n, new Map(frontends.map((of) => [frontendKey(of), print(of)])));
  }

  /** All frontends at once are the revision that is active, and the kernel says which that is. */
  checkLive(): void {
    const cursor = liveCursor(this.maps.arrays.activations, this.maps.active);
    assert.equal(
      cursor !== undefined,
      this.maps.active > 0n,
      `at sequence ${this.maps.active}: whether there is a cursor`,
    );
    const elements = this.maps.elements("frontends");
    const rangeSets = readRangeSets(this.maps.elements("ranges").keys);
    const found = new MapReader(this.maps.arrays, rangeSets).frontends(elements, this.maps.active);
    const seen = new Map(found.map((of) => [frontendKey(of), print(of)]));
    assert.deepEqual(seen, this.#whole.get(this.maps.active) ?? new Map(), `at sequence ${this.maps.active}`);
  }

  finish(): void {
    this.#endReaders();
    this.checkLive();
    this.maps.checkReached();
  }

  #step(): void {
    this.checkLive();
    this.#now++;
    for (let moves = this.#choose(6); moves > 0; moves--) {
      if (this.#readers.length < readersMax && this.#choose(2) === 0) this.#startReader();
      const reader = this.#readers[this.#choose(this.#readers.length)];
      if (reader === undefined || reader.wakeAt > this.#now) continue;
      this.#move(reader);
      if (this.#choose(8) === 0) reader.wakeAt = this.#now + this.#choose(200);
    }
    if (this.#stepsLeft-- <= 0) {
      this.#stepsLeft = Infinity;
      throw new Killed();
    }
  }

  #startReader(): void {
    const key = this.#keys[this.#choose(this.#keys.length)];
    assert.ok(key);
    this.#readers.push({
      steps: readFrontend(this.maps, key.bytes, this.#rule),
      key: key.text,
      from: this.maps.active,
      wakeAt: 0,
    });
  }

  #move(reader: Reader): void {
    const { done, value } = reader.steps.next();
    if (done !== true) return;
    this.#readers.splice(this.#readers.indexOf(reader), 1);
    const allowed: string[] = [];
    for (let at = reader.from; at <= this.maps.active; at++) allowed.push(this.#expected(at, reader.key));
    assert.ok(
      allowed.includes(value),
      `${reader.key} from ${reader.from} to ${this.maps.active}: saw "${value}", allowed were ${JSON.stringify(allowed)}`,
    );
  }

  #expected(at: bigint, key: string): string {
    const undefinedPort = this.#addresses.get(at)?.get(key.split(" ", 1)[0] ?? "") ?? "absent";
    return this.#whole.get(at)?.get(key) ?? (undefinedPort === "absent" ? "absent" : `address ${undefinedPort}`);
  }

  #endReaders(): void {
    for (let reader = this.#readers[0]; reader !== undefined; reader = this.#readers[0]) this.#move(reader);
  }

  #choose(below: number): number {
    return below === 0 ? 0 : (this.#choices.next().value ?? 0) % below;
  }
}

function print(of: Frontend): string {
  const targets = of.targets.map(({ address, port }) => printSocketAddress(address, port));
  return `${of.servicePort} ${of.action} ${targets.join(",")}${printSources(of)}`;
}
