import assert from "node:assert/strict";
import { test } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { Catalog } from "../catalog/catalog.ts";
import { catalogLimits } from "../catalog/catalog-limits.ts";
import { changesOf, madeBackend, madeName, madeService } from "../catalog/made-resources.ts";
import type { CompiledChanges } from "../catalog/resource.ts";
import { moveResources, readSharedCommit, sharedCommit, sharedPlaces } from "./shared-commit.ts";

const at = epoch(1, 2);

function pair(): {
  readonly main: Catalog;
  readonly worker: Catalog;
  readonly commit: (changes: CompiledChanges) => void;
} {
  const [main, worker] = [new Catalog(at, catalogLimits), new Catalog(at, catalogLimits)];
  return {
    main,
    worker,
    commit: (changes) => {
      const commit = main.draft(changes);
      assert.ok(commit);
      main.apply(commit);
      worker.apply(readSharedCommit(structuredClone(sharedCommit(commit)), (id) => worker.get(id)));
      assertSame(main, worker);
    },
  };
}

function assertSame(main: Catalog, worker: Catalog): void {
  const printed = ({ snapshot }: { snapshot: ReturnType<Catalog["snapshot"]> }): unknown =>
    snapshot.map(({ id, kind, service, address, hash, bytes, body, value, bytesLength }) => ({
      id,
      kind,
      service,
      address,
      hash,
      bytes: Buffer.from(bytes).toString("hex"),
      body,
      value: value.kind,
      bytesLength,
    }));
  assert.deepEqual(printed({ snapshot: worker.snapshot() }), printed({ snapshot: main.snapshot() }));
  assert.equal(worker.root, main.root);
  assert.deepEqual(worker.sizes, main.sizes);
}

const backends = [madeBackend("a", 1), madeBackend("a", 2)];

test("a worker's catalog is the same after each commit, and answers the same since each revision", () => {
  const { main, worker, commit } = pair();
  commit(changesOf([madeName("n"), madeService("a"), ...backends, madeService("b")]));
  commit(changesOf([madeService("a", 7)], backends.slice(1)));
  commit(changesOf([madeService("c")], [madeService("a", 7), madeBackend("a", 1)]));
  assertSame(main, worker);
  for (const from of [1, 2, 3]) {
    const [mine, its] = [main, worker].map((one) => one.since({ epoch: at, revision: revision(from) }));
    assert.ok(mine?.kind === "operations" && its?.kind === "operations");
    assert.deepEqual(its.removed, mine.removed);
    assert.deepEqual(
      its.puts.map(({ id }) => id),
      mine.puts.map(({ id }) => id),
    );
  }
});

test("the first commit may be empty", () => {
  const { main, worker, commit } = pair();
  commit(changesOf([]));
  assert.equal(worker.head, 1);
  assertSame(main, worker);
});

test("a late worker has the head and no history, and goes on from there", () => {
  const { main, commit } = pair();
  commit(changesOf([madeService("a"), ...backends]));
  commit(changesOf([], backends.slice(1)));
  const late = new Catalog(at, catalogLimits);
  const head = sharedCommit({
    revision: main.head,
    puts: main.snapshot(),
    removals: [],
    triggers: { ipv4: [], ipv6: [] },
  });
  late.start(readSharedCommit(head, (id) => late.get(id)));
  assert.equal(late.root, main.root);
  assert.equal(late.since({ epoch: at, revision: revision(1) }).kind, "compacted");
  assert.equal(late.since({ epoch: at, revision: revision(2) }).kind, "operations");
  const next = main.draft(changesOf([madeService("b")]));
  assert.ok(next);
  main.apply(next);
  late.apply(readSharedCommit(sharedCommit(next), (id) => late.get(id)));
  assert.equal(late.root, main.root);
});

test("bytes may move to a newer buffer", () => {
  const { main, worker, commit } = pair();
  commit(changesOf([madeService("a"), ...backends]));
  moveResources(sharedPlaces(main.snapshot()), (id) => worker.get(id));
  assertSame(main, worker);
});
