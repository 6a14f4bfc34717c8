import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { catalogLimits } from "./catalog-limits.ts";
import { Catalog } from "./catalog.ts";
import { changesOf, madeService } from "./made-resources.ts";

describe("what triggered the revisions of a delta", () => {
  const catalog = new Catalog(epoch(1_763_881_972_000, 7), catalogLimits);
  for (let at = 1; at <= 300; at++) {
    const triggers = { ipv4: at === 299 ? [] : [at], ipv6: at === 300 ? [7] : [] };
    const commit = catalog.draft({ ...changesOf([madeService("a", at)]), triggers });
    assert.ok(commit !== undefined);
    catalog.apply(commit);
  }
  const since = (from: number): { readonly ipv4: readonly number[]; readonly ipv6: readonly number[] } => {
    const answer = catalog.since({ epoch: catalog.epoch, revision: revision(from) });
    assert.ok(answer.kind === "operations");
    return answer.triggers;
  };

  test("are those after its start, none at the head", () => {
    assert.deepEqual(since(300), { ipv4: [], ipv6: [] });
    assert.deepEqual(since(299), { ipv4: [300], ipv6: [7] });
    assert.deepEqual(since(298), { ipv4: [300], ipv6: [7] });
    assert.deepEqual(
      since(297).ipv4.toSorted((a, b) => a - b),
      [298, 300],
    );
  });

  test("are those that are remembered, for an agent far behind", () => {
    const { ipv4 } = since(1);
    assert.equal(ipv4.length, 256);
    assert.equal(Math.min(...ipv4), 44);
  });
});
