import assert from "node:assert/strict";
import { describe, test } from "node:test";
import v8 from "node:v8";
import vm from "node:vm";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { catalogLimits } from "../catalog/catalog-limits.ts";
import { Catalog } from "../catalog/catalog.ts";
import { changesOf, madeName } from "../catalog/made-resources.ts";
import { Transfers, transferLimits } from "./transfers.ts";

/** So many revisions of 40 resources each; the last one adds as much again as all before. */
function catalogOf(revisions: number): Catalog {
  const catalog = new Catalog(epoch(1, 1), catalogLimits);
  const commit = (of: string, count: number): void => {
    const resources = Array.from({ length: count }, (_, i) => madeName(`${of}: name ${i}`));
    catalog.apply(catalog.draft(changesOf(resources)) ?? assert.fail("nothing differs"));
  };
  for (let i = 1; i < revisions; i++) commit(`revision ${i}`, 40);
  commit(`revision ${revisions}`, 40 * revisions);
  return catalog;
}

describe("deltas of many parts", () => {
  const limits = { ...transferLimits, deltaPartBytesMax: 8_192, oldDeltaPartBytesMax: 2_048, sharedDeltaRevisions: 5 };

  test("from long ago have smaller parts: whoever stalls holds one that is nobody else's", () => {
    const catalog = catalogOf(20);
    const transfers = new Transfers(catalog, limits);
    for (const [from, partBytesMax] of [
      [catalog.head - 1, 8_192],
      [catalog.head - 5, 8_192],
      [catalog.head - 6, 2_048],
      [1, 2_048],
    ] as const) {
      const delta = transfers.delta(revision(from)) ?? assert.fail("compacted");
      const sizes = Array.from({ length: delta.parts }, (_, i) => delta.part(i).length);
      assert.ok(Math.max(...sizes) <= partBytesMax, `from ${from}: ${Math.max(...sizes)}`);
      assert.ok(Math.max(...sizes) > partBytesMax / 2, `from ${from}: ${Math.max(...sizes)}`);
    }
  });

  test("keep no part that nobody sends any more", async () => {
    v8.setFlagsFromString("--expose-gc");
    const collect = vm.runInNewContext("gc") as () => void;
    const catalog = catalogOf(20);
    const delta = new Transfers(catalog, limits).delta(revision(1)) ?? assert.fail("compacted");
    const sent = ((): { ref: WeakRef<Uint8Array>; copy: Buffer } => {
      const part = delta.part(0);
      return { ref: new WeakRef(part), copy: Buffer.from(part) };
    })();
    const held = delta.part(1);
    await new Promise(setImmediate);
    collect();
    assert.equal(sent.ref.deref(), undefined);
    assert.equal(delta.part(1), held, "one that is being sent is the same for all");
    assert.ok(sent.copy.equals(delta.part(0)), "and one that is asked for again is made again");
  });
});
