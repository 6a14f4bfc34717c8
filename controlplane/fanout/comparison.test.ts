import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { epoch } from "@weft/proto/cursor.ts";
import { Digest, bucketOf, digestBuckets } from "@weft/proto/digest.ts";
import { hashToBigint } from "@weft/proto/hash.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import fc from "fast-check";
import { catalogLimits } from "../catalog/catalog-limits.ts";
import { Catalog } from "../catalog/catalog.ts";
import { changesOf, madeBackend, madeName, madeService } from "../catalog/made-resources.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import { askNext, compareHashes, compareSums, comparisonLimits, isSnapshotSmaller } from "./comparison.ts";
import type { Comparison } from "./comparison.ts";
import { DigestCut } from "./digest-cut.ts";
import { repairOf } from "./repair.ts";
import { hashWordsOf } from "./reported-digests.ts";

interface ReportedHash {
  readonly id: bigint;
  readonly hash: bigint;
}

function catalogOf(resources: readonly CompiledResource[], limits = catalogLimits): Catalog {
  const catalog = new Catalog(epoch(1, 1), limits);
  commit(catalog, resources);
  return catalog;
}

/** From now on the catalog holds just these. */
function commit(catalog: Catalog, resources: readonly CompiledResource[]): void {
  const stays = new Set(resources.map(({ id }) => id));
  const drafted = catalog.draft(
    changesOf(
      resources,
      catalog.snapshot().filter(({ id }) => !stays.has(id)),
    ),
  );
  if (drafted !== undefined) catalog.apply(drafted);
}

function sumsOf(resources: readonly CompiledResource[]): bigint[] {
  const digest = new Digest();
  for (const { id, hash } of resources) digest.add(id, hash);
  return Array.from({ length: digestBuckets }, (_, bucket) => digest.bucket(bucket));
}

function hashesOf(resources: readonly CompiledResource[], buckets: readonly number[]): ReportedHash[] {
  const asked = new Set(buckets);
  return resources
    .filter(({ id }) => asked.has(bucketOf(id)))
    .map(({ id, hash }) => ({ id, hash: hashToBigint(hash) }));
}

/** The whole conversation with an agent that holds these. */
function compareAll(cut: DigestCut, held: readonly CompiledResource[], limits = comparisonLimits): Comparison {
  let comparison = compareSums(cut, sumsOf(held));
  for (let next = askNext(comparison, limits); next !== undefined; next = askNext(comparison, limits)) {
    const compared = compareHashes({ ...next.comparison, reported: [hashWordsOf(hashesOf(held, next.buckets))] });
    assert.ok(typeof compared !== "string");
    comparison = compared;
  }
  return comparison;
}

/** A cut of which so many slices are made before each of these commits. */
function cutWith(
  catalog: Catalog,
  perSlice: number,
  meanwhile: readonly { readonly slices: number; readonly resources: readonly CompiledResource[] }[],
): DigestCut {
  const slices = DigestCut.inSlices(catalog, perSlice);
  let next = slices.next();
  for (const { slices: count, resources } of meanwhile) {
    for (let i = 0; i < count && next.done !== true; i++) next = slices.next();
    commit(catalog, resources);
  }
  while (next.done !== true) next = slices.next();
  return next.value;
}

const made = fc.uniqueArray(
  fc.oneof(
    fc.integer({ min: 0, max: 30 }).map((i) => madeName(`name ${i}`)),
    fc.tuple(fc.constantFrom("a", "b"), fc.nat(1)).map(([name, version]) => madeService(name, version)),
    fc
      .tuple(fc.constantFrom("a", "b"), fc.nat(12), fc.nat(1))
      .map(([name, last, version]) => madeBackend(name, last, version)),
  ),
  { selector: ({ id }) => id, maxLength: 30 },
);

// As compile gives it: no backend without its service.
const whole = made.map((resources) => {
  const services = new Set(resources.filter(({ kind }) => kind === "service").map(({ id }) => id));
  return resources.filter(({ service }) => service === undefined || services.has(service));
});

describe("a repair", () => {
  test("leads from whatever is held to the head, touches what differs or was touched meanwhile, and names its buckets", () => {
    fc.assert(
      fc.property(
        made,
        whole,
        fc.array(whole, { maxLength: 3 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.record({ slices: fc.nat(3), resources: whole }), { maxLength: 3 }),
        (held, at, later, perQuery, perSlice, meanwhile) => {
          const catalog = catalogOf(at);
          const cut = cutWith(catalog, perSlice, meanwhile);
          const then = new Map(at.map(({ id, hash }) => [id, hash]));
          for (let bucket = 0; bucket < digestBuckets; bucket++) {
            for (const { id, hash } of cut.in(bucket)) assert.deepEqual(hash, then.get(id));
          }
          const comparison = compareAll(cut, held, { ...comparisonLimits, hashesPerQuery: perQuery });
          for (const resources of later) commit(catalog, resources);
          const touched = catalog.touchedSince(cut.revision);
          assert.ok(touched !== undefined);
          const { puts, removed, buckets } = repairOf(comparison, touched);

          const after = new Map(held.map((resource) => [resource.id, resource.hash]));
          for (const id of removed) after.delete(id);
          for (const { id, hash } of puts) after.set(id, hash);
          assert.deepEqual(sorted(after), sorted(new Map(catalog.snapshot().map(({ id, hash }) => [id, hash]))));

          const named = [...puts.map(({ id }) => id), ...removed];
          assert.equal(new Set(named).size, named.length);
          assert.deepEqual(
            buckets,
            [...new Set(named.map(bucketOf))].toSorted((a, b) => a - b),
          );
          if (later.length + meanwhile.length > 0) return;
          const equal = new Map(held.map((resource) => [resource.id, hashToBigint(resource.hash)]));
          for (const { id, hash } of puts) assert.notEqual(equal.get(id), hashToBigint(hash));
          for (const id of removed) assert.ok(equal.has(id));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("is not possible once the history is compacted past the comparison", () => {
    const catalog = catalogOf([madeName("a")], { ...catalogLimits, historyRevisionsMax: 1 });
    const cut = DigestCut.of(catalog);
    for (const name of ["b", "c"]) commit(catalog, [madeName(name)]);
    assert.equal(catalog.touchedSince(cut.revision), undefined);
  });
});

describe("hashes that cannot be are named", () => {
  const [a, b, c] = ["a", "b", "c"].map((name) => madeName(name)) as [
    CompiledResource,
    CompiledResource,
    CompiledResource,
  ];
  const cut = DigestCut.of(catalogOf([a, b]));
  // It says that it holds b and c.
  const asked = askNext(compareSums(cut, sumsOf([b, c])), comparisonLimits)?.comparison ?? assert.fail();
  const honest = hashesOf([b, c], [bucketOf(a.id), bucketOf(c.id)]);
  const cases: readonly (readonly [name: string, reported: readonly ReportedHash[], problem: RegExp | undefined])[] = [
    ["honest ones", honest, undefined],
    ["one of a bucket that was not asked for", [...honest, { id: b.id, hash: 1n }], /bucket \d+, which was not asked/],
    ["one twice", [...honest, ...honest], /two hashes of id/],
    ["one of id 0", [...honest, { id: 0n, hash: 0n }], /which was not asked|id 0/],
    ["one too few", honest.slice(1), /do not add up/],
    ["another than was summed", honest.map(({ id, hash }) => ({ id, hash: hash + 1n })), /do not add up/],
  ];
  for (const [name, reported, problem] of cases) {
    test(name, () => {
      const compared = compareHashes({ ...asked, reported: [hashWordsOf(reported)] });
      if (problem === undefined) assert.ok(typeof compared !== "string");
      else assert.match(typeof compared === "string" ? compared : "", problem);
    });
  }
});

describe("a snapshot takes the place of a repair where it is fewer bytes", () => {
  const all = Array.from({ length: 4_000 }, (_, i) => madeName(`a name of some length, number ${i}`));
  const catalog = catalogOf(all);
  const cut = DigestCut.of(catalog);
  const cases: readonly (readonly [name: string, held: readonly CompiledResource[], isSnapshot: boolean])[] = [
    ["one of 4,000 differs", all.slice(1), false],
    ["a tenth differs", all.slice(400), false],
    ["a quarter differs", all.slice(1_000), false],
    ["nine tenths differ", all.slice(3_600), true],
    ["all differ", Array.from({ length: 4_000 }, (_, i) => madeName(`other ${i}`)), true],
  ];
  for (const [name, held, isSnapshot] of cases) {
    test(name, () => {
      let comparison = compareSums(cut, sumsOf(held));
      let isSmaller = isSnapshotSmaller(comparison);
      let queries = 0;
      for (
        let next = askNext(comparison, { ...comparisonLimits, hashesPerQuery: 256 });
        next !== undefined && !isSmaller;
        next = askNext(comparison, { ...comparisonLimits, hashesPerQuery: 256 })
      ) {
        queries++;
        const compared = compareHashes({ ...next.comparison, reported: [hashWordsOf(hashesOf(held, next.buckets))] });
        assert.ok(typeof compared !== "string");
        comparison = compared;
        isSmaller = isSnapshotSmaller(comparison);
      }
      assert.equal(isSmaller, isSnapshot);
      // It is known after the first part that most differs.
      if (isSnapshot) assert.ok(queries <= 1, `${queries} queries`);
    });
  }

  test("parts ask for about as many hashes as they may", () => {
    let comparison = compareSums(cut, sumsOf([]));
    const parts: number[] = [];
    for (let next = askNext(comparison, { ...comparisonLimits, hashesPerQuery: 500 }); next !== undefined;) {
      parts.push(next.buckets.reduce((sum, bucket) => sum + cut.count(bucket) + 1, 0));
      comparison = { ...next.comparison, compared: next.comparison.asked };
      next = askNext(comparison, { ...comparisonLimits, hashesPerQuery: 500 });
    }
    assert.ok(parts.every((hashes) => hashes <= 500) && parts.length < 12, parts.join());
    assert.equal(
      parts.reduce((sum, hashes) => sum + hashes, 0),
      4_000 + comparison.differing.length,
    );
  });
});

test("a cut has the sums and the resources of each bucket, whatever is committed later", () => {
  const all = Array.from({ length: 3_000 }, (_, i) => madeName(`name ${i}`));
  const catalog = catalogOf(all);
  const cut = DigestCut.of(catalog);
  const sums = sumsOf(all);
  commit(catalog, [madeName("other")]);
  const seen: ResourceId[] = [];
  for (let bucket = 0; bucket < digestBuckets; bucket++) {
    assert.equal(cut.sum(bucket), sums[bucket]);
    const inside = cut.in(bucket);
    assert.equal(cut.count(bucket), inside.length);
    for (const { id } of inside) {
      assert.equal(bucketOf(id), bucket);
      seen.push(id);
    }
  }
  assert.deepEqual(new Set(seen), new Set(all.map(({ id }) => id)));
  assert.equal(seen.length, cut.resources);
});

function sorted(of: ReadonlyMap<bigint, unknown>): unknown {
  return [...of].toSorted(([a], [b]) => (a < b ? -1 : 1));
}
