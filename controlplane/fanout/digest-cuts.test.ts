import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { epoch } from "@weft/proto/cursor.ts";
import { digestBuckets } from "@weft/proto/digest.ts";
import { catalogLimits } from "../catalog/catalog-limits.ts";
import { Catalog } from "../catalog/catalog.ts";
import { changesOf, madeName } from "../catalog/made-resources.ts";
import type { CompiledResource } from "../catalog/resource.ts";
import type { DigestCut } from "./digest-cut.ts";
import { DigestCuts } from "./digest-cuts.ts";

const limits = { cutEntriesPerTurn: 100, snapshotAgeMaxMs: 5_000 };
const names = (count: number, of = "name"): CompiledResource[] =>
  Array.from({ length: count }, (_, i) => madeName(`${of} ${i}`));

function catalogOf(resources: readonly CompiledResource[], historyRevisionsMax = 1_000): Catalog {
  const catalog = new Catalog(epoch(1, 1), { ...catalogLimits, historyRevisionsMax });
  put(catalog, resources);
  return catalog;
}

function put(catalog: Catalog, resources: readonly CompiledResource[]): void {
  catalog.apply(catalog.draft(changesOf(resources)) ?? assert.fail("nothing differs"));
}

/** So many turns of the event loop, after what is due in each. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
}

describe("digest cuts", () => {
  test("of a small catalog are there at once", () => {
    const catalog = catalogOf(names(100));
    assert.equal(new DigestCuts(catalog, limits).get(0)?.resources, 100);
    assert.equal(new DigestCuts(catalogOf(names(1)), { ...limits, cutEntriesPerTurn: 1 }).get(0)?.resources, 1);
  });

  test("of a large one are read so many entries a turn, and handed to all that wait", async () => {
    const catalog = catalogOf(names(1_000));
    let read = 0;
    const untouched = catalog.untouchedSince.bind(catalog);
    catalog.untouchedSince = function* (...of) {
      for (const slice of untouched(...of)) {
        read += slice.length;
        yield slice;
      }
      return undefined;
    };
    const cuts = new DigestCuts(catalog, limits);
    const made: DigestCut[] = [];
    for (let i = 0; i < 20; i++) {
      assert.equal(cuts.get(0), undefined);
      cuts.whenMade((cut) => made.push(cut));
    }
    for (let turn = 1; turn < 10; turn++) {
      // One slice is read ahead.
      assert.deepEqual([read, made.length], [(turn + 1) * 100, 0]);
      await turns(1);
    }
    // Comparing is work too.
    assert.equal(made.length, 8);
    await turns(2);
    assert.equal(made.length, 20);
    assert.equal(new Set(made).size, 1);
    assert.equal(made[0]?.resources, 1_000);
    const root = Array.from({ length: digestBuckets }, (_, i) => made[0]?.sum(i) ?? 0n);
    assert.equal(
      root.reduce((sum, one) => BigInt.asUintN(64, sum + one), 0n),
      catalog.root,
    );
    assert.equal(cuts.get(0), made[0]);
  });

  test("are handed over however much is committed meanwhile, and lack only what that touched", async () => {
    const catalog = catalogOf(names(1_000), 2);
    const cuts = new DigestCuts(catalog, limits);
    assert.equal(cuts.get(0), undefined);
    const made: DigestCut[] = [];
    cuts.whenMade((cut) => made.push(cut));
    for (let i = 0; i < 30 && made.length === 0; i++) {
      put(catalog, names(50, `new ${i}`));
      await turns(1);
    }
    assert.deepEqual([made[0]?.revision, made[0]?.resources], [1, 1_000]);
    // The history does not reach back to it any more: newcomers get another.
    assert.equal(cuts.get(0), undefined);
  });

  test("are shared until they are too old, or of no use", () => {
    const catalog = catalogOf(names(50));
    const cuts = new DigestCuts(catalog, limits);
    const first = cuts.get(0);
    assert.equal(cuts.get(100_000), first);
    put(catalog, names(1, "new"));
    assert.equal(cuts.get(4_999), first);
    const second = cuts.get(5_000);
    assert.deepEqual([first?.revision, second?.revision], [1, 2]);
    cuts.forget();
    assert.notEqual(cuts.get(5_000), second);
  });

  test("that nobody awaits any more are not finished", async () => {
    const catalog = catalogOf(names(1_000));
    const cuts = new DigestCuts(catalog, limits);
    cuts.get(0);
    cuts.whenMade(() => assert.fail("it was forgotten"));
    await turns(3);
    cuts.forget();
    // The one that takes its place is not hurried on by what is left of it.
    assert.equal(cuts.get(0), undefined);
    let isMade = false;
    cuts.whenMade(() => (isMade = true));
    await turns(8);
    assert.equal(isMade, false);
    await turns(1);
    assert.equal(isMade, true);
  });
});
