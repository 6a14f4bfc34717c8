/** Program: p50 of connect() of UDP and of TCP to a backend and through services. `node connect.bench.ts [connects]` */
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import type { ServicePlan } from "../dataplane.ts";
import { KernelDataplane } from "./kernel-dataplane.ts";
import { connectUdp } from "./libbpf.ts";
import { makeKernelLab } from "./testing/kernel-lab.ts";
import { clusterIp, ignore, roundOf } from "./testing/plans.ts";

const connects = Number(process.argv[2] ?? 200_000);

const p50 = (us: readonly number[]): string =>
  `${(new Float64Array(us).toSorted()[us.length >> 1] ?? 0).toFixed(2)} us`;
const measureUdp = (address: readonly number[], port: number): string => {
  const us: number[] = [];
  const bytes = Uint8Array.from(address);
  for (let i = 0; i < connects; i++) {
    const fromMs = performance.now();
    connectUdp(bytes, port);
    us.push((performance.now() - fromMs) * 1_000);
  }
  return p50(us);
};

const server = net.createServer((socket) => socket.destroy());
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as net.AddressInfo;
using lab = makeKernelLab();
const place = lab.place();
await using dataplane = new KernelDataplane(place);
await dataplane.open();
const home = fs.readFileSync("/proc/self/cgroup", "utf8").trim().split("::")[1] ?? "/";
const here = fs.readFileSync("/proc/self/mountinfo", "utf8").match(/ (\S+) \S+ - cgroup2 /)?.[1] ?? "/sys/fs/cgroup";
const plans: (readonly [string, ServicePlan])[] = [
  ["plain", clusterIp("a/plain", "172.30.0.1", [`127.0.0.1:${port}`], { protocol: "UDP" })],
  ["affinity", clusterIp("a/sticky", "172.30.0.2", [`127.0.0.1:${port}`], { protocol: "UDP", affinitySeconds: 600 })],
];
await dataplane.apply(
  roundOf(
    1,
    plans.map(([, plan]) => plan),
  ),
  ignore,
);
fs.writeFileSync(path.join(place.cgroup, "cgroup.procs"), `${process.pid}`);
try {
  for (let round = 0; round < 3; round++) {
    const direct = measureUdp([127, 0, 0, 1], port);
    const through = plans.map(([name], i) => `${name} ${measureUdp([172, 30, 0, i + 1], 80)}`);
    console.log(`socket, connect, close of UDP, p50: direct ${direct}, through a service: ${through.join(", ")}`);
  }
} finally {
  fs.writeFileSync(path.join(here, home, "cgroup.procs"), `${process.pid}`);
  server.close();
}
