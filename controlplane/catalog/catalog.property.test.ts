import assert from "node:assert/strict";
import { test } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { Digest, digestBuckets } from "@weft/proto/digest.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import fc from "fast-check";
import { tombstoneBytes } from "./catalog-limits.ts";
import { Catalog } from "./catalog.ts";
import { madeBackend, madeName, madeService } from "./made-resources.ts";
import type { CompiledResource } from "./resource.ts";

// A wish is what the cluster looks like: services, and the backends of each with their versions.
type Wish = Readonly<Record<string, { readonly version: number; readonly backends: readonly number[] }>>;

const wish: fc.Arbitrary<Wish> = fc.dictionary(
  fc.constantFrom("a", "b", "c"),
  fc.record({
    version: fc.integer({ min: 0, max: 1 }),
    backends: fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { maxLength: 4 }),
  }),
  { maxKeys: 3 },
);
const limits = fc.record({
  historyRevisionsMax: fc.constantFrom(1, 2, 5, 1_000),
  historyBytesMax: fc.constantFrom(0, 3 * tombstoneBytes, 1_000_000),
});

function resourcesOf(of: Wish): CompiledResource[] {
  return Object.entries(of).flatMap(([name, { version, backends }]) => [
    madeService(name, version),
    madeName(`node of ${name}`),
    ...backends.map((last) => madeBackend(name, last, version)),
  ]);
}

// An agent by the rules of discovery.proto.
class Reader {
  at = 0;
  readonly held = new Map<ResourceId, CompiledResource>();
  snapshots = 0;

  catchUp(catalog: Catalog): void {
    const answer = catalog.since({ epoch: catalog.epoch, revision: revision(this.at) });
    if (this.at === 0 || answer.kind === "compacted") {
      this.held.clear();
      for (const resource of catalog.snapshot()) this.held.set(resource.id, resource);
      this.snapshots++;
    } else {
      assert.equal(answer.kind, "operations");
      const gone = new Set<bigint>(answer.removed);
      // What came back and went again since the cursor may be named although the reader does not hold it.
      for (const id of answer.removed) this.held.delete(id);
      for (const { id, value } of this.held.values()) {
        if (value.kind === "backend" && gone.has(value.backend.service)) this.held.delete(id);
      }
      for (const put of answer.puts) {
        assert.ok(!gone.has(put.id), "removed and put at once");
        this.held.set(put.id, put);
      }
    }
    this.at = catalog.head;
  }
}

function commit(catalog: Catalog, before: readonly CompiledResource[], after: readonly CompiledResource[]): void {
  const stays = new Set(after.map(({ id }) => id));
  const drafted = catalog.draft({ puts: after, removals: before.map(({ id }) => id).filter((id) => !stays.has(id)) });
  if (drafted !== undefined) catalog.apply(drafted);
}

test("any reader that follows the answers, from any cursor and with any gaps, holds exactly the head", () => {
  let snapshots = 0;
  let resumes = 0;
  fc.assert(
    fc.property(
      limits,
      fc.array(fc.tuple(wish, fc.subarray([0, 1, 2, 3])), { maxLength: 30, size: "max" }),
      (bounds, steps) => {
        const catalog = new Catalog(epoch(1, 1), bounds);
        const readers = Array.from({ length: 4 }, () => new Reader());
        let before: readonly CompiledResource[] = [];
        for (const [wanted, reading] of [...steps, [{}, [0, 1, 2, 3]] as const]) {
          const after = resourcesOf(wanted);
          commit(catalog, before, after);
          before = after;
          const head = new Map(after.map((resource) => [resource.id, resource.bytes]));
          for (const index of reading) {
            const reader = readers[index] as Reader;
            if (reader.at > 0) resumes++;
            reader.catchUp(catalog);
            assert.deepEqual(new Map([...reader.held].map(([id, { bytes }]) => [id, bytes])), head);
          }
        }
        for (const reader of readers) snapshots += reader.snapshots;
      },
    ),
    { numRuns: 400 },
  );
  assert.ok(snapshots > 1_000 && resumes > 1_000, `too little is covered: ${snapshots} snapshots, ${resumes} resumes`);
});

test("the digest kept along the way is the digest made from nothing, root and buckets", () => {
  fc.assert(
    fc.property(fc.array(wish, { minLength: 1, maxLength: 12 }), (wishes) => {
      const catalog = new Catalog(epoch(1, 1), { historyRevisionsMax: 3, historyBytesMax: 1_000 });
      let before: readonly CompiledResource[] = [];
      for (const wanted of wishes) {
        const after = resourcesOf(wanted);
        commit(catalog, before, after);
        before = after;
      }
      const digest = new Digest();
      for (const { id, hash } of before) digest.add(id, hash);
      assert.equal(catalog.root, digest.root);
      for (let i = 0; i < digestBuckets; i++) assert.equal(catalog.bucket(i), digest.bucket(i));
    }),
    { numRuns: 100 },
  );
});

test("a history within its limits answers without a snapshot, and never exceeds them", () => {
  fc.assert(
    fc.property(limits, fc.array(wish, { maxLength: 40 }), (bounds, wishes) => {
      const catalog = new Catalog(epoch(1, 1), bounds);
      let before: readonly CompiledResource[] = [];
      for (const wanted of wishes) {
        const after = resourcesOf(wanted);
        commit(catalog, before, after);
        before = after;
        const { historyBytes, historyRevisions, tombstones } = catalog.sizes;
        assert.ok(historyBytes <= bounds.historyBytesMax && historyRevisions <= bounds.historyRevisionsMax);
        assert.equal(historyBytes, tombstones * tombstoneBytes);
        if (catalog.head > 0)
          assert.equal(catalog.since({ epoch: catalog.epoch, revision: catalog.floor }).kind, "operations");
      }
    }),
    { numRuns: 200 },
  );
});
