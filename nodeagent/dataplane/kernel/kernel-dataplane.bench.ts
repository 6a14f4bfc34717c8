/** Program: measures a full load, an adoption and a one-endpoint change on the real kernel. `node kernel-dataplane.bench.ts [services] [backends]` */
import type { ServicePlan } from "../dataplane.ts";
import { cleanupPinned } from "./cleanup-pinned.ts";
import { KernelDataplane } from "./kernel-dataplane.ts";
import { makeKernelLab } from "./testing/kernel-lab.ts";
import { clusterIp, ignore, roundOf } from "./testing/plans.ts";

const [services = 10_000, backends = 25] = process.argv.slice(2).map(Number);
const changes = 20_000;

const planOf = (i: number, generation: number): ServicePlan => {
  const targets = Array.from(
    { length: backends },
    (_, n) => `10.${i >> 8}.${i & 255}.${n + (n === 0 ? generation % 200 : 0)}:80`,
  );
  return clusterIp(`ns${i % 100}/service-${i}`, `172.${16 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`, targets);
};
const print = (what: string, ms: number): void => console.log(`${what.padEnd(48)} ${ms.toFixed(3).padStart(9)} ms`);
const measure = async (what: string, work: () => Promise<unknown>): Promise<void> => {
  const startCpu = process.cpuUsage();
  const startMs = performance.now();
  await work();
  const wallMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(startCpu);
  print(`${what} (CPU ${((user + system) / 1_000).toFixed(0)} ms)`, wallMs);
};

using lab = makeKernelLab();
const place = lab.place();
const all = Array.from({ length: services }, (_, i) => planOf(i, 0));
let revision = 1;
{
  await using dataplane = new KernelDataplane(place);
  await measure("open, empty", () => dataplane.open());
  await measure(`full load, ${services} x ${backends}`, () => dataplane.replaceAll(roundOf(revision, all), ignore));
  console.log(`rss ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MB`);
  const applyMs: number[] = [];
  for (let i = 0; i < changes; i++) {
    const round = roundOf(++revision, [planOf((i * 7_919) % services, i)]);
    const startMs = performance.now();
    await dataplane.apply(round, ignore);
    applyMs.push(performance.now() - startMs);
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const sorted = new Float64Array(applyMs).toSorted();
  for (const part of [0.5, 0.99, 0.999])
    print(`one endpoint of ${backends}, p${part * 100}`, sorted[Math.floor(changes * part)] ?? 0);
}
{
  await using dataplane = new KernelDataplane(place);
  await measure("open, adopting all of it", () => dataplane.open());
  await measure("the same plan again, all of it", () => dataplane.replaceAll(roundOf(++revision, all), ignore));
  console.log(`rss ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MB`);
}
cleanupPinned(place);
