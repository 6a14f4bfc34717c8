/** Program: measures a plan from nothing and of a one-endpoint change, both families. `node plan-node.bench.ts [services] [backends]` */
import type { Backend } from "@weft/proto/gen/weft/discovery/v1/resource_pb.ts";
import { describedBackend, describedService } from "./described-cluster.ts";
import { planInput, planNode } from "./plan-input.ts";
import { NodePlanner } from "./plan-node.ts";

const [services = 10_000, backends = 25] = process.argv.slice(2).map(Number);
const changes = 20_000;

const print = (what: string, ms: number): void => console.log(`${what.padEnd(48)} ${ms.toFixed(3)} ms`);

for (const family of ["IPv4", "IPv6"] as const) {
  const names = Array.from({ length: services }, (_, i) => `ns${i % 100}/service-${i}`);
  const addressOf = (prefix: string, i: number, n: number): string =>
    family === "IPv4" ? `${prefix}.${n}.${i >> 8}.${i & 255}` : `fd00:${prefix}:${n}::${i.toString(16)}`;
  const all = names.map((name, i) =>
    describedService({ name, clusterIps: [addressOf("172", i, 30)], ports: [{ name: "http", port: 80 }] }),
  );
  const endpoints = names.flatMap((service, i) =>
    Array.from({ length: backends }, (_, n): Backend => {
      const address = addressOf("10", i, n);
      return describedBackend({ service, address, ports: [{ name: "http", number: 8_080 }], node: `node-${n}` });
    }),
  );
  const input = planInput(all, endpoints);
  const node = planNode("node-1", "zone-1", []);

  const fullMs: number[] = [];
  let planner = new NodePlanner(input, node);
  for (let i = 0; i < 5; i++) {
    planner = new NodePlanner(input, node);
    const startMs = performance.now();
    planner.replanAll();
    fullMs.push(performance.now() - startMs);
  }
  print(`${family}: plan from nothing, ${services} x ${backends}, first`, fullMs[0] ?? 0);
  print(`${family}: the same, best of 5`, Math.min(...fullMs));

  const oneMs = Float64Array.from({ length: changes }, (_, i) => {
    const name = names[(i * 7_919) % services] ?? "";
    const startMs = performance.now();
    planner.touch([name]);
    return performance.now() - startMs;
  }).toSorted();
  for (const percent of [50, 99])
    print(`${family}: one change, p${percent}`, oneMs[Math.floor((changes * percent) / 100)] ?? 0);
}
