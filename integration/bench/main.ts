/**
 * `npm run bench`: one endpoint of one service changes, again and again, in a kernel lab of three nodes. Times are those that
 * nodes and the control plane report: received-to-active (agent) and commit-to-ack (control plane).
 *
 * Arguments: `[SERVICES] [ENDPOINTS] [CHANGES]`, 1,000 services of 10 endpoints and 60 changes unless given.
 */
import os from "node:os";
import { podAddresses } from "../lab/address-plan.ts";
import type { EndpointSpec, ServiceSpec } from "../lab/cluster-manifests.ts";
import { expectSuccess } from "../lab/command.ts";
import { missingForKernelLab } from "../lab/kernel-support.ts";
import { createLab } from "../lab/lab.ts";

const [services = 1_000, endpoints = 10, changes = 60] = process.argv.slice(2).map(Number);
const nodes = 3;
const file = "changing.yaml";
const changing = "bench/changing";

const missing = missingForKernelLab();
if (missing !== undefined) {
  process.stderr.write(`no kernel lab here: ${missing}\n`);
  process.exit(1);
}
process.exit(await bench());

async function bench(): Promise<number> {
  await using lab = await createLab({ name: "bench", nodes, dataplane: "kernel" });
  lab.manifests.writeServices(
    "steady.yaml",
    Array.from({ length: services - 1 }, (_, i) => serviceOf(`s${i}`, i, 0)),
  );
  lab.manifests.writeServices(file, [serviceOf("changing", services, 0)]);
  const watch = lab.watchRevisions();
  await watch.committed(changing, 0);
  expectSuccess(await lab.weft(["wait", "--revision", String(watch.head)]));

  const activeUs: number[] = [];
  const ackUs: number[] = [];
  const bytes: number[] = [];
  for (let change = 1; change <= changes; change++) {
    const before = watch.head;
    lab.manifests.writeServices(file, [serviceOf("changing", services, change)]);
    const { commit, acks } = await watch.settled(changing, before);
    bytes.push(commit.bytes);
    for (const { receivedToActiveUs, commitToAckUs } of acks.values()) {
      if (receivedToActiveUs !== null) activeUs.push(receivedToActiveUs);
      ackUs.push(commitToAckUs);
    }
  }
  print(`${os.cpus().length} x ${os.cpus()[0]?.model ?? os.arch()}, Linux ${os.release()}, Node ${process.version}`);
  print(
    `${services} services x ${endpoints} endpoints, ${nodes} nodes on this machine, ${changes} changes of one endpoint`,
  );
  print(`received to active   ${quantiles(activeUs)}`);
  print(`commit to ack        ${quantiles(ackUs)}`);
  print(`delta                ${Math.max(...bytes)} bytes to each node`);
  return 0;
}

function serviceOf(name: string, number: number, change: number): ServiceSpec {
  const pods = Array.from({ length: endpoints }, (_, i): EndpointSpec => {
    // The last endpoint is another one after each change.
    const slot = 1 + ((i === endpoints - 1 ? i + change : i) % 200);
    return { pod: `${name}-${slot}`, node: `node-${1 + (i % nodes)}`, addresses: podAddresses(number % 250, slot) };
  });
  return {
    namespace: "bench",
    name,
    clusterIps: [`10.96.${1 + (number >> 8)}.${number & 255}`],
    ports: [{ name: "", protocol: "TCP", port: 80, targetPort: 8080 }],
    endpoints: pods,
  };
}

function quantiles(timesUs: readonly number[]): string {
  const sorted = timesUs.toSorted((a, b) => a - b);
  const at = (share: number): string =>
    `${((sorted[Math.floor(share * (sorted.length - 1))] ?? 0) / 1_000).toFixed(2)} ms`;
  return `p50 ${at(0.5)}  p99 ${at(0.99)}  worst ${at(1)}  (${sorted.length} acks)`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
