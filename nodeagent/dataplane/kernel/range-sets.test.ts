import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePrefix, printPrefix, type Prefix } from "@weft/proto/address.ts";
import { readRangeSets } from "./element-key.ts";
import { isSameRanges, RangeSets } from "./range-sets.ts";
import { MemoryMaps, mapsBut } from "./testing/memory-maps.ts";

const limits = { frontends: 4, backends: 4, services: 4 };
const prefixes = (...texts: readonly string[]): Prefix[] =>
  texts.map((text) => parsePrefix(text)).filter((prefix) => prefix !== undefined);
const held = (maps: MemoryMaps): Record<number, string[]> =>
  Object.fromEntries(
    Array.from(readRangeSets(maps.elements("ranges").keys), ([id, ranges]) => [id, ranges.map(printPrefix).toSorted()]),
  );

describe("range sets", () => {
  it("hold their ranges, of both families, until nobody counts them", () => {
    const maps = new MemoryMaps(limits);
    const sets = new RangeSets(maps);
    const set = sets.take(prefixes("10.0.0.0/8", "fd00::/64", "192.0.2.1/32"));
    const other = sets.take(prefixes("10.0.0.0/8"));
    assert.ok(set && other);
    assert.deepEqual(held(maps), {
      [set.id]: ["10.0.0.0/8", "192.0.2.1/32", "fd00::/64"],
      [other.id]: ["10.0.0.0/8"],
    });
    set.count++;
    sets.release(set);
    sets.release(other);
    assert.deepEqual(Object.keys(held(maps)), [`${set.id}`]);
    assert.equal(sets.used, 1);
    sets.release(set);
    assert.deepEqual(held(maps), {});
    assert.equal(sets.used, 0);
  });

  it("leave nothing behind when the kernel has no room", () => {
    const maps = new MemoryMaps(limits);
    let inserts = 0;
    const full = mapsBut(maps, {
      insert: (map, key, index) => (++inserts > 2 ? 28 : maps.insert(map, key, index)),
    });
    const sets = new RangeSets(full);
    assert.equal(sets.take(prefixes("10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8")), undefined);
    assert.deepEqual(held(maps), {});
    assert.equal(sets.used, 0);
  });

  it("are taken over where a descriptor names them; the others go after a grace", () => {
    const maps = new MemoryMaps(limits);
    const before = new RangeSets(maps);
    const [named, staged] = [before.take(prefixes("10.0.0.0/8")), before.take(prefixes("11.0.0.0/8"))];
    assert.ok(named && staged);
    const sets = new RangeSets(maps);
    const adopted = sets.adopt(readRangeSets(maps.elements("ranges").keys), new Set([named.id]));
    assert.deepEqual(adopted.get(named.id)?.prefixes.map(printPrefix), ["10.0.0.0/8"]);
    const fresh = sets.take(prefixes("12.0.0.0/8"));
    assert.ok(fresh && fresh.id !== staged.id, "a set that a reader may still see is not reused");
    sets.removeOrphans();
    assert.deepEqual(held(maps), { [named.id]: ["10.0.0.0/8"], [fresh.id]: ["12.0.0.0/8"] });
  });

  it("are the same in any order", () => {
    assert.ok(isSameRanges(prefixes("10.0.0.0/8", "fd00::/64"), prefixes("fd00::/64", "10.0.0.0/8")));
    assert.ok(!isSameRanges(prefixes("10.0.0.0/8"), prefixes("10.0.0.0/9")));
    assert.ok(!isSameRanges(prefixes("10.0.0.0/8"), undefined));
    assert.ok(!isSameRanges([], undefined));
  });
});
