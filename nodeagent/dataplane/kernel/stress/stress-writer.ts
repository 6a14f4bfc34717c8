/**
 * Program: writes revisions as fast as it can for some time, then prints how many. Arguments: folder of the agent's pins, cgroup,
 * a Writing, a Breakage, milliseconds. Uses the real writer over real maps; a breakage replaces one part of it.
 */
import { silentLog } from "@weft/proto/program/log.ts";
import { adoptMaps } from "../adopt.ts";
import { attachPrograms } from "../attach.ts";
import { Targets } from "../../../plan/targets.ts";
import { DescriptorStore } from "../descriptor-store.ts";
import { IndexAllocator } from "../index-allocator.ts";
import type { KernelMaps } from "../kernel-maps.ts";
import { backendLayout, firstFreeDescriptor } from "../layout.ts";
import { loadPrograms } from "../load-programs.ts";
import { mapSizes } from "../map-sizes.ts";
import { openMaps } from "../pinned-maps.ts";
import { RevisionWriter } from "../revision-writer.ts";
import { RoundApplier } from "../round-applier.ts";
import { StateTable } from "../state-table.ts";
import { ignore, roundOf } from "../testing/plans.ts";
import {
  breakages,
  stressFrontends,
  stressKey,
  stressLimits,
  stressPlans,
  writings,
  type Breakage,
  type Writing,
} from "./stress-case.ts";
import { TwiceIntoTheOther, ZeroOnRollback } from "./broken-tables.ts";

/** The 24 bits of a revision in an address must not wrap around. */
const revisionsMax = 0xfffff0;

const hotContent = {
  kind: "ClusterIP",
  servicePort: "",
  scope: "internal",
  action: "forward",
  affinitySeconds: 0,
  targets: Targets.of(
    stressPlans(0)
      .flatMap(({ frontends }) => frontends.flatMap(({ targets }) => [...targets]))
      .slice(0, 1),
  ),
  sourceRanges: undefined,
} as const;

class Killed extends Error {}
class RolledBack extends Error {}

function tableOf(
  breakage: Breakage,
  maps: KernelMaps,
  store?: ConstructorParameters<typeof StateTable>[1],
): StateTable {
  if (breakage === "zero-on-rollback") return new ZeroOnRollback(maps.arrays.states, store);
  if (breakage === "twice-into-the-other") return new TwiceIntoTheOther(maps.arrays.states, store);
  return new StateTable(maps.arrays.states, store);
}

// Each revision stages its frontends twice: first as absent, then as what they are.
async function writeHot(maps: KernelMaps, table: StateTable, breakage: Breakage, endMs: number): Promise<number> {
  const active = new BigInt64Array(maps.arrays.active, 0, 1);
  const descriptors = new DescriptorStore(maps);
  const backends = new DataView(maps.arrays.backends);
  const steady = stressFrontends.filter(({ isSteady }) => isSteady);
  let revision = Number(active[0] ?? 0n);
  // The process that made the maps took the first few, and ended.
  const first = firstFreeDescriptor + (revision > 0 ? steady.length : 0);
  const indices = new IndexAllocator(first, maps.sizes.descriptors);
  const fill = (number: number, at: number): number => {
    const descriptor = indices.take() ?? 0;
    const backend = descriptor * backendLayout.size;
    backends.setUint32(backend + 8, 0xffff);
    backends.setUint32(backend + 12, (10 << 24) | at);
    backends.setUint16(backend + backendLayout.port, number);
    descriptors.write(descriptor, hotContent, { base: descriptor, name: 0, rangeSet: 0 }, at);
    return descriptor;
  };
  if (revision === 0) {
    for (const [i, frontend] of steady.entries()) {
      table.claim(i, stressKey(frontend), 0, 1n, fill(frontend.number, 1));
      maps.insert("frontends", stressKey(frontend), i);
    }
    Atomics.store(active, 0, BigInt(++revision));
  }
  let used: number[] = [];
  while (performance.now() < endMs && revision < revisionsMax) {
    const last = used.length - steady.length;
    if (breakage === "no-grace" && last > 0) {
      for (const index of used.splice(0, last)) indices.release(index);
    } else if (indices.available <= steady.length) {
      await maps.grace();
      for (const index of used.splice(0, last)) indices.release(index);
      used = used.slice();
    }
    const sequence = BigInt(revision + 1);
    for (const [i, { number }] of steady.entries()) {
      const descriptor = fill(number, revision + 1);
      table.stage(i, sequence, 0);
      table.stage(i, sequence, descriptor);
      used.push(descriptor);
    }
    Atomics.store(active, 0, sequence);
    revision++;
  }
  return revision;
}

async function writeRounds(maps: KernelMaps, writing: Writing, breakage: Breakage, endMs: number): Promise<number> {
  let stepsLeft = Infinity;
  const step = (): void => {
    if (stepsLeft-- > 0) return;
    stepsLeft = Infinity;
    throw new Killed();
  };
  const store: ConstructorParameters<typeof StateTable>[1] = (words, index, value) => {
    step();
    Atomics.store(words, index, value);
    step();
  };
  let incarnation = 0;
  const start = async (): Promise<RoundApplier> => {
    const own = ++incarnation;
    const alive: KernelMaps = {
      ...maps,
      insert: (map, key, index) => {
        step();
        return maps.insert(map, key, index);
      },
      remove: (map, key) => {
        step();
        maps.remove(map, key);
      },
      async grace() {
        if (breakage !== "no-grace") await maps.grace();
        // One that was killed meanwhile does nothing any more.
        if (own !== incarnation) await new Promise(() => undefined);
      },
    };
    const writer = new RevisionWriter(alive, tableOf(breakage, maps, store), store);
    writer.adopt(adoptMaps(alive, store));
    await alive.grace();
    writer.removeOrphans();
    return new RoundApplier(alive, writer, stressLimits);
  };
  const active = new BigInt64Array(maps.arrays.active, 0, 1);
  let applier = await start();
  let killAt = 0;
  for (let round = 0; round === 0 || (performance.now() < endMs && Number(active[0]) < revisionsMax); round++) {
    const revision = Number(active[0] ?? 0n) + 1;
    const isRolledBack = writing === "rollbacks" && round % 2 === 1;
    if (writing === "killed" && round % 3 === 2) stepsLeft = killAt++ % 100;
    try {
      const beforeActivate = isRolledBack
        ? () => {
            throw new RolledBack();
          }
        : ignore;
      await applier.replaceAll(roundOf(revision, stressPlans(revision)), beforeActivate);
    } catch (error) {
      if (error instanceof RolledBack) continue;
      if (!(error instanceof Killed) && !(error instanceof Error && error.cause instanceof Killed)) throw error;
      stepsLeft = Infinity;
      applier = await start();
    }
    stepsLeft = Infinity;
    // Let graces end.
    if (round % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return Number(active[0]);
}

const [bpffs, cgroup, writing, breakage, ms] = process.argv.slice(2);
if (bpffs !== undefined && cgroup !== undefined) {
  if (!writings.includes(writing as Writing) || !breakages.includes(breakage as Breakage)) throw new Error("usage");
  const sizes = mapSizes(stressLimits);
  using object = await loadPrograms(bpffs, stressLimits, sizes, silentLog);
  const maps = openMaps(object, sizes);
  attachPrograms(object, bpffs, cgroup);
  const endMs = performance.now() + Number(ms);
  const revisions =
    writing === "hot"
      ? await writeHot(maps, tableOf(breakage as Breakage, maps), breakage as Breakage, endMs)
      : await writeRounds(maps, writing as Writing, breakage as Breakage, endMs);
  process.stdout.write(`${revisions}\n`);
}
