import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { CatalogError } from "./catalog-error.ts";
import type { CatalogErrorCode } from "./catalog-error.ts";
import { catalogLimits, tombstoneBytes } from "./catalog-limits.ts";
import { Catalog } from "./catalog.ts";
import type { Operations } from "./catalog.ts";
import { changesOf, madeBackend, madeName, madeService } from "./made-resources.ts";
import type { CompiledChanges, CompiledResource, Commit } from "./resource.ts";

const first = epoch(1_763_881_972_000, 7);

function commit(
  catalog: Catalog,
  puts: readonly CompiledResource[],
  removals: readonly CompiledResource[] = [],
): Commit {
  const drafted = catalog.draft(changesOf(puts, removals));
  assert.ok(drafted !== undefined, "nothing to commit");
  catalog.apply(drafted);
  return drafted;
}

function since(catalog: Catalog, at: number): Operations {
  const answer = catalog.since({ epoch: catalog.epoch, revision: revision(at) });
  assert.equal(answer.kind, "operations");
  return answer;
}

const namesOf = (resources: readonly CompiledResource[]): string[] =>
  resources.map(({ name }) => name.replace("\0", "/"));
const make = (limits = catalogLimits): Catalog => new Catalog(first, limits);

describe("commits", () => {
  test("the first commit is revision 1 even if it is empty, later ones need a difference", () => {
    const catalog = make();
    assert.equal(commit(catalog, []).revision, 1);
    assert.equal(catalog.draft(changesOf([])), undefined);
    assert.equal(catalog.head, 1);
  });

  test("a resource whose bytes did not change keeps its revision", () => {
    const catalog = make();
    commit(catalog, [madeService("a"), madeService("b")]);
    const second = commit(catalog, [madeService("a"), madeService("b", 1)]);
    assert.deepEqual(namesOf(second.puts), ["b"]);
    assert.deepEqual(namesOf(since(catalog, 1).puts), ["b"]);
    assert.equal(catalog.draft(changesOf([madeService("a"), madeService("b", 1)])), undefined);
  });

  test("a commit names what it replaced and what it removed", () => {
    const catalog = make();
    commit(catalog, [madeService("a"), madeBackend("a", 1)]);
    const second = commit(catalog, [madeService("a", 1)], [madeBackend("a", 1)]);
    assert.deepEqual(namesOf([...second.replaced.values()]), ["a"]);
    assert.deepEqual(namesOf(second.removals), ["a/1"]);
  });

  test("a put wins over a removal of the same id, and removing the unknown is nothing", () => {
    const catalog = make();
    commit(catalog, [madeService("a")]);
    assert.equal(catalog.draft(changesOf([madeService("a")], [madeService("a"), madeService("z")])), undefined);
  });

  test("sizes follow", () => {
    const catalog = make();
    const kept = [madeService("a"), madeName("n")];
    commit(catalog, [...kept, madeBackend("a", 1)]);
    commit(catalog, [], [madeBackend("a", 1)]);
    assert.deepEqual(catalog.sizes, {
      resources: 2,
      services: 1,
      backends: 0,
      names: 1,
      bytes: kept.reduce((sum, { bytes }) => sum + bytes.length, 0),
      tombstones: 1,
      historyBytes: tombstoneBytes,
      historyRevisions: 2,
    });
  });

  const [service, backend] = [madeService("a"), madeBackend("a", 1)];
  const broken: readonly [
    name: string,
    code: CatalogErrorCode,
    held: readonly CompiledResource[],
    then: CompiledChanges,
  ][] = [
    ["two names with one id", "id-taken", [service], changesOf([madeService("b", 0, service.id)])],
    ["two names with one id in one commit", "id-taken", [], changesOf([service, madeService("b", 0, service.id)])],
    ["a backend without its service", "orphan", [], changesOf([backend])],
    ["a service that leaves backends behind", "backends-left", [service, backend], changesOf([], [service])],
    ["a backend put while its service goes", "orphan", [service], changesOf([backend], [service])],
  ];
  for (const [name, code, held, then] of broken) {
    test(`refused: ${name}`, () => {
      const catalog = make();
      commit(catalog, held);
      assert.throws(
        () => catalog.apply(catalog.draft(then) as Commit),
        (error) => error instanceof CatalogError && error.code === code,
      );
    });
  }

  test("refused: a commit that does not follow the head", () => {
    const catalog = make();
    const drafted = catalog.draft(changesOf([])) as Commit;
    catalog.apply(drafted);
    assert.throws(() => catalog.apply(drafted), { code: "not-next" });
  });
});

describe("since", () => {
  test("conflates: one put for many changes of a resource, nothing for what came and went", () => {
    const catalog = make();
    commit(catalog, [madeService("a")]);
    for (let version = 1; version < 5; version++) commit(catalog, [madeService("a", version)]);
    commit(catalog, [madeService("b")]);
    commit(catalog, [], [madeService("b")]);
    const answer = since(catalog, 1);
    assert.deepEqual(answer.puts, [madeService("a", 4)]);
    assert.deepEqual(answer.removed, []);
  });

  test("a removed service implies its backends", () => {
    const catalog = make();
    const all = [madeService("a"), madeBackend("a", 1), madeBackend("a", 2)];
    commit(catalog, all);
    commit(catalog, [], all);
    assert.deepEqual(since(catalog, 1).removed, [madeService("a").id]);
  });

  test("backends that left before their service are implied too", () => {
    const catalog = make();
    commit(catalog, [madeService("a"), madeBackend("a", 1), madeBackend("a", 2)]);
    commit(catalog, [], [madeBackend("a", 1)]);
    commit(catalog, [], [madeService("a"), madeBackend("a", 2)]);
    assert.deepEqual(since(catalog, 1).removed, [madeService("a").id]);
    assert.deepEqual(since(catalog, 2).removed, [madeService("a").id]);
  });

  test("the old backends of a service that was removed and added again are named", () => {
    const catalog = make();
    const old = [madeBackend("a", 1), madeBackend("a", 2)];
    commit(catalog, [madeService("a"), ...old]);
    commit(catalog, [], [madeService("a"), ...old]);
    commit(catalog, [madeService("a"), madeBackend("a", 3)]);
    const answer = since(catalog, 1);
    assert.deepEqual(new Set(answer.removed), new Set(old.map(({ id }) => id)));
    assert.deepEqual(namesOf(answer.puts), ["a", "a/3"]);
    // Whoever has seen the removal needs none of them.
    assert.deepEqual(since(catalog, 2).removed, []);
  });

  test("a removed id that comes back, goes, comes back is judged by its first birth", () => {
    const catalog = make();
    commit(catalog, [madeService("a")]);
    commit(catalog, [madeService("b")]);
    commit(catalog, [], [madeService("b")]);
    commit(catalog, [madeService("b", 1)]);
    commit(catalog, [], [madeService("b")]);
    assert.deepEqual(since(catalog, 1).removed, []);
    assert.deepEqual(since(catalog, 2).removed, [madeService("b").id]);
    assert.deepEqual(since(catalog, 3).removed, [madeService("b").id]);
    assert.deepEqual(since(catalog, 5).removed, []);
  });

  test("names and services come before backends", () => {
    const catalog = make();
    commit(catalog, [madeService("a"), madeBackend("a", 1)]);
    commit(catalog, [madeService("b"), madeName("n"), madeBackend("b", 1)]);
    assert.deepEqual(namesOf(since(catalog, 0).puts).slice(0, 3).sort(), ["a", "b", "n"]);
    assert.deepEqual(namesOf(catalog.snapshot()).slice(3).sort(), ["a/1", "b/1"]);
  });

  test("other epochs and the future are told apart", () => {
    const catalog = make();
    commit(catalog, []);
    assert.equal(catalog.since({ epoch: epoch(1, 7), revision: revision(1) }).kind, "other-epoch");
    assert.equal(catalog.since({ epoch: first, revision: revision(2) }).kind, "future");
    catalog.rename(epoch(first.createdMs + 1, 7));
    assert.equal(catalog.since({ epoch: first, revision: revision(1) }).kind, "other-epoch");
    assert.equal(since(catalog, 1).to, 1);
  });
});

describe("compaction", () => {
  test("by revisions", () => {
    const catalog = make({ historyRevisionsMax: 2, historyBytesMax: 1 << 20 });
    commit(catalog, [madeService("a")]);
    commit(catalog, [], [madeService("a")]);
    assert.equal(catalog.sizes.tombstones, 1);
    for (let i = 0; i < 2; i++) commit(catalog, [madeService("b", i)]);
    assert.equal(catalog.since({ epoch: first, revision: revision(1) }).kind, "compacted");
    assert.deepEqual(since(catalog, 2).removed, []);
    assert.equal(catalog.sizes.tombstones, 0);
  });

  test("by bytes, oldest first", () => {
    const catalog = make({ historyRevisionsMax: 1_000, historyBytesMax: 2 * tombstoneBytes });
    const all = ["a", "b", "c"].map((name) => madeService(name));
    commit(catalog, all);
    for (const one of all) commit(catalog, [], [one]);
    assert.equal(catalog.sizes.tombstones, 2);
    assert.equal(catalog.since({ epoch: first, revision: revision(1) }).kind, "compacted");
    assert.deepEqual(new Set(since(catalog, 2).removed), new Set([madeService("b").id, madeService("c").id]));
  });
});
