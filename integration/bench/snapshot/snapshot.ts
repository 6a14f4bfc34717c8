/** `snapshot`: an agent without any state, from the start of its process until all of a large cluster is active in its kernel. */
import { setTimeout as delay } from "node:timers/promises";
import { missingForKernelLab } from "../../lab/kernel-support.ts";
import { nodeCommand } from "../../lab/lab-process.ts";
import { printShape } from "../apply/print-shape.ts";
import { atMost } from "../bench.ts";
import type { Bench, BenchContext, Row } from "../bench.ts";
import { clusterOf } from "../cluster.ts";
import { FedLab, textIn } from "../fed-lab.ts";
import { extremes, median } from "../quantiles.ts";

const shape = clusterOf(10_000, 25);
const goalS = 5;
/** Every cold agent is a node of its own: what an earlier one left is nobody's. */
const rounds = { quick: 3, full: 9 };
/** Of the control plane after it has loaded the cluster: then its heap is compacted. */
const quietMs = 11_000;
const peerLimitMs = 30_000;

/** Of one cold agent; milliseconds. */
interface ColdStart {
  readonly startToActive: number;
  /** Programs are loaded, links attached, the probe has passed: it dials only then. */
  readonly startToReady: number;
  /** The last part of the snapshot is there. */
  readonly readyToReceived: number;
  readonly receivedToActive: number;
}

export const snapshot: Bench = {
  name: "snapshot",
  title: `a cold agent receives ${printShape(shape)}, kernel dataplane: start of its process to active`,
  run,
};

async function run(context: BenchContext): Promise<readonly Row[]> {
  const missing = missingForKernelLab();
  if (missing !== undefined) throw new Error(`no kernel lab here: ${missing}`);
  const { isFull, say, signal, lab } = context;
  const nodes = isFull ? rounds.full : rounds.quick;
  await using fed = await FedLab.start({ name: `${lab}s`, nodes, dataplane: "kernel" }, shape, context);
  say(`the control plane was ready after ${(fed.loadedAfterMs / 1_000).toFixed(1)} s`);
  await delay(quietMs, undefined, { signal });
  const bytes = await catalogBytes(fed);
  const starts: ColdStart[] = [];
  const peers: number[] = [];
  for (let node = 1; node <= nodes; node++) {
    signal.throwIfAborted();
    const start = await coldStart(fed, node);
    const peer = await peerStart(context, bytes);
    say(`round ${node} of ${nodes}: active after ${start.startToActive.toFixed(0)} ms, peer ${peer.toFixed(0)} ms`);
    starts.push(start);
    peers.push(peer);
  }
  return rowsOf(starts, peers, bytes);
}

async function coldStart(fed: FedLab, number: number): Promise<ColdStart> {
  const node = fed.lab.node(number);
  const acked = fed.firstAck(node.name);
  const startedAtMs = unixMs();
  await node.startAgent();
  const readyAtMs = unixMs();
  const { atMs, receivedToActiveMs } = await acked;
  await node.agent.kill();
  return {
    startToActive: atMs - startedAtMs,
    startToReady: readyAtMs - startedAtMs,
    readyToReceived: atMs - receivedToActiveMs - readyAtMs,
    receivedToActive: receivedToActiveMs,
  };
}

// A program that starts, connects and reads as many bytes from a bare node:http2 server that has them at hand.
async function peerStart({ start }: BenchContext, bytes: number): Promise<number> {
  const program = "integration/bench/snapshot/http2-peer.ts";
  const server = start("http2 server", nodeCommand(program, "serve", String(bytes)));
  const [, url = ""] = await server.lineMatching(/^ready (\S+)/, peerLimitMs);
  const beganMs = performance.now();
  const reader = start("http2 reader", nodeCommand(program, "read", url));
  const [, read] = await reader.lineMatching(/^read (\d+)/, peerLimitMs);
  const elapsedMs = performance.now() - beganMs;
  if (Number(read) !== bytes) throw new Error(`the peer read ${read} of ${bytes} bytes`);
  await server.kill();
  return elapsedMs;
}

async function catalogBytes({ lab: { controlplane } }: FedLab): Promise<number> {
  const metrics = await textIn(controlplane.place, `http://${controlplane.http}/metrics`);
  return Number(/^weft_catalog_bytes (\d+)$/m.exec(metrics)?.[1]);
}

function rowsOf(starts: readonly ColdStart[], peers: readonly number[], bytes: number): readonly Row[] {
  const row = (what: string, pick: (start: ColdStart) => number): Row => {
    const values = starts.map((start) => pick(start) / 1_000);
    return { what, measured: { value: median(values), unit: "s", spread: extremes(values) } };
  };
  const whole = row("start of the process to active", ({ startToActive }) => startToActive);
  const megabytes = (bytes / 1_048_576).toFixed(1);
  return [
    {
      ...whole,
      peer: { name: `process reading ${megabytes} MB over http2`, value: median(peers) / 1_000 },
      goal: atMost(whole.measured.value, goalS, "s"),
    },
    row("  start to ready: runtime, links, probe", ({ startToReady }) => startToReady),
    row("  ready to received: connection, snapshot", ({ readyToReceived }) => readyToReceived),
    row("  received to active: plan, maps, state on disk", ({ receivedToActive }) => receivedToActive),
  ];
}

function unixMs(): number {
  return performance.timeOrigin + performance.now();
}
