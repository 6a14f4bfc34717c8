/**
 * What the fleet costs at 5,000 nodes, with everything that listens to it: acks, and the questions of `weft` over real grpc-js.
 * Run it by `node controlplane/fleet/fleet-service.bench.ts`; the numbers are in docs/operations.md.
 */
import { create } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { epoch } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { NodeViewSchema, VersionsSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { FleetService } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import { logFleet } from "./fleet-log.ts";
import { runFleet } from "./fleet-loop.ts";
import { addFleetMetrics } from "./fleet-metrics.ts";
import { addFleetService } from "./fleet-service.ts";
import { encodedStatus } from "./fleet-status.ts";
import { Fleet } from "./fleet.ts";
import { FleetClient } from "./testing-fleet-client.ts";
import { ackOf, address, Commits, stepsAt } from "./testing-resources.ts";

const nodes = 5_000;
const rounds = 40;
const names = Array.from({ length: nodes }, (_, i) => `node-${i}.example.internal`);
const nowUs = (): number => (performance.timeOrigin + performance.now()) * 1_000;

function print(what: string, ms: readonly number[]): void {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2);
  console.log(`${what.padEnd(58)} p50 ${at(0.5).padStart(8)} ms   p99 ${at(0.99).padStart(8)} ms   n ${ms.length}`);
}

async function timed(of: () => unknown): Promise<number> {
  const fromMs = performance.now();
  await of();
  return performance.now() - fromMs;
}

const stop = new AbortController();
const fleet = new Fleet(Date.now());
addFleetMetrics(new Metrics(), fleet);
logFleet(fleet, silentLog);
const server = new Server();
addFleetService(server, {
  fleet,
  state: {
    nodeView: () => create(NodeViewSchema),
    nodeObjectAddresses: () => undefined,
    snapshot: () => ({ to: fleet.head, parts: [] }),
  },
  removals: { confirmRemoval: () => ({ removal: undefined, nodes: [] }) },
  identify: () => ({ kind: "anonymous" }),
  log: silentLog,
  signal: stop.signal,
});
const loop = runFleet(fleet, stop.signal);
const port = await new Promise<number>((resolve, reject) => {
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
    error === null ? resolve(bound) : reject(error),
  );
});
using client = new FleetClient(`127.0.0.1:${port}`);

fleet.epochStarted(epoch(Date.now(), 7));
fleet.nodesKnown(new Set(names));
fleet.synced();
const versions = create(VersionsSchema, { agent: "0.1.0", kernel: "6.18.0", dataplane: "kernel" });
for (const [i, node] of names.entries()) {
  const addresses = [address(`10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`)];
  const more = { nodePortAddresses: addresses, localAddresses: [], servesLocalClusterIps: false };
  const peer = `10.0.${i >> 8}.${i & 255}:40000`;
  fleet.connected(
    { node, instance: BigInt(i + 1), peer, versions, addresses, applied: 0 as Revision, ...more },
    nowUs(),
  );
}
const commits = new Commits();
const commit = (): number => {
  fleet.committed(commits.commit([]), 100, nowUs(), stepsAt(nowUs()));
  return fleet.head;
};
const ackAll = (revision: number, until = nodes): void => {
  const ack = ackOf({ revision });
  for (const node of names.slice(0, until)) fleet.acked(node, ack, undefined, nowUs());
};

const acks: number[] = [];
for (let i = 0; i < rounds; i++) {
  const revision = commit();
  acks.push(await timed(() => ackAll(revision)));
}
print("5,000 acks of a revision", acks);
const memory = process.memoryUsage();
console.log(
  `heap ${(memory.heapUsed / 1e6).toFixed(0)} MB, array buffers ${(memory.arrayBuffers / 1e6).toFixed(1)} MB`,
);

const make: number[] = [];
let bytes = 0;
for (let i = 0; i < rounds; i++) {
  make.push(
    await timed(() => {
      bytes = encodedStatus(fleet, Date.now()).length;
    }),
  );
}
print(`GetStatus, made and encoded (${bytes} bytes)`, make);

const ask = async (what: string, of: () => Promise<unknown>): Promise<void> => {
  const ms: number[] = [];
  for (let i = 0; i < rounds; i++) ms.push(await timed(of));
  print(what, ms);
};
await ask("GetStatus over gRPC, decoded", () => client.status());
await ask("GetStatus without nodes over gRPC", () =>
  client.call(FleetService.method.getStatus, { withoutNodes: true }),
);
await ask("GetTrace over gRPC", () => client.call(FleetService.method.getTrace, { slowest: 10 }));
await ask("GetTrace of every node over gRPC", () => client.call(FleetService.method.getTrace, { slowest: 10_000 }));
await ask("Wait for what runs everywhere", () => client.wait({ cursor: { revision: 1n }, timeoutMs: 10_000 }));

// From the last ack until the caller has its answer, with every ack of the revision coming while it waits.
const told: number[] = [];
for (let i = 0; i < rounds; i++) {
  const revision = commit();
  const asked = Promise.withResolvers<void>();
  const unsubscribe = fleet.subscribe((event) => event.kind === "asked" && asked.resolve());
  const answered = client.wait({ cursor: { revision: BigInt(revision) }, timeoutMs: 10_000 });
  await asked.promise;
  unsubscribe();
  ackAll(revision);
  told.push(await timed(() => answered));
}
print("Wait, from the last ack to the answer", told);
// An answer that lists everybody, with reasons.
const missing: number[] = [];
for (let i = 0; i < rounds; i++) {
  const waited = await timed(() => client.wait({ cursor: { revision: BigInt(fleet.head + 1) }, timeoutMs: 50 }));
  missing.push(waited - 50);
}
print("Wait that times out with 5,000 missing, beyond its time", missing);
stop.abort();
server.forceShutdown();
await loop;
