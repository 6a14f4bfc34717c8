import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { KernelDataplane } from "./kernel-dataplane.ts";
import { backendLayout } from "./layout.ts";
import { getPinned, mapMaxEntries, mapMemory } from "./libbpf.ts";
import { mapSizes } from "./map-sizes.ts";
import { MappedArray } from "./mapped-array.ts";
import { servicesFolderName } from "./pin-folder.ts";
import { kernelTestsSkipped, makeKernelLab } from "./testing/kernel-lab.ts";
import { clusterIp, ignore, roundOf } from "./testing/plans.ts";

const limits = { frontends: 64, backends: 1_048_576, services: 64 };
const megabyte = 1 << 20;

describe("array mapped where it was reached", { skip: kernelTestsSkipped() }, () => {
  it("holds what the kernel holds up to there, zeros behind, and everything again once that is reached", async () => {
    using lab = makeKernelLab();
    const place = lab.place();
    await using dataplane = new KernelDataplane({ ...place, limits });
    await dataplane.open();
    const fd = getPinned(path.join(place.bpffs, servicesFolderName(limits), "backends"));
    assert.ok(fd !== undefined);
    const byteLength = mapMaxEntries(fd) * backendLayout.size;
    assert.ok(byteLength > 8 * megabyte && byteLength % 4_096 !== 0, "the last page is shorter");
    const kernel = new Uint8Array(mapMemory(fd, byteLength, true));
    const places = [100, 3 * megabyte + 7, byteLength - 1];
    for (const [i, at] of places.entries()) kernel[at] = i + 1;

    const array = new MappedArray(fd, byteLength);
    const bytes = new Uint8Array(array.memory);
    const seen = (): (number | undefined)[] => places.map((at) => bytes[at]);
    assert.deepEqual(seen(), [1, 2, 3]);
    assert.equal(array.reach(10), 0);
    const before = residentKb();
    array.trim();
    assert.deepEqual(seen(), [1, 0, 0]);
    assert.ok(before - residentKb() > 20 * 1_024, "memory was given back");
    array.mapAll();
    assert.deepEqual(seen(), [1, 2, 3]);
    array.trim();
    assert.equal(array.reach(3 * megabyte + 8), 0);
    assert.deepEqual(seen(), [1, 2, 0]);
    assert.equal(array.reach(byteLength), 0);
    assert.deepEqual(seen(), [1, 2, 3]);
    array.trim();
    assert.deepEqual(seen(), [1, 2, 3]);
    for (const [i, at] of places.entries()) bytes[at] = 10 + i;
    assert.deepEqual(
      places.map((at) => kernel[at]),
      [10, 11, 12],
      "what is written is in the kernel's array",
    );
    assert.throws(() => array.reach(byteLength + 1), RangeError);
  });

  it("is dumped as a whole, also where somebody else wrote", async () => {
    using lab = makeKernelLab();
    const place = lab.place();
    await using dataplane = new KernelDataplane({ ...place, limits });
    await dataplane.open();
    const targets = Array.from({ length: 60_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}:80`);
    await dataplane.apply(roundOf(1, [clusterIp("a/web", "172.30.0.1", targets)]), ignore);
    const fd = getPinned(path.join(place.bpffs, servicesFolderName(limits), "descriptors"));
    const backendsFd = getPinned(path.join(place.bpffs, servicesFolderName(limits), "backends"));
    assert.ok(fd !== undefined && backendsFd !== undefined);
    // The first of ours is number 4; its list now begins where nothing was ever reached.
    const base = 1_000_000;
    new DataView(mapMemory(fd, mapMaxEntries(fd) * 32, true)).setUint32(4 * 32, base, true);
    const backends = mapMemory(backendsFd, mapSizes(limits).backends * backendLayout.size, true);
    new DataView(backends).setUint16(base * backendLayout.size + backendLayout.port, 4_711);
    const [frontend] = dataplane.dump();
    assert.equal(frontend?.targets.at(0).port, 4_711);
  });
});

/** Of what is mapped from files, and BPF arrays. */
function residentKb(): number {
  return Number(/^RssFile:\s+(\d+)/m.exec(fs.readFileSync("/proc/self/status", "utf8"))?.[1]);
}
