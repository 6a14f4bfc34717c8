/** `start`: an agent that has a large cluster on disk, from the start of its process until its last state is live; after a boot, and over live maps. */
import fs from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { expectSuccess } from "../../lab/command.ts";
import { missingForKernelLab } from "../../lab/kernel-support.ts";
import type { LabNode } from "../../lab/lab-node.ts";
import { printShape } from "../apply/print-shape.ts";
import { atMost } from "../bench.ts";
import type { Bench, BenchContext, Row } from "../bench.ts";
import { clusterOf } from "../cluster.ts";
import { FedLab } from "../fed-lab.ts";
import { processUsage } from "../process-usage.ts";
import { extremes, median } from "../quantiles.ts";

const shape = clusterOf(10_000, 25);
const goals = { startS: 1, residentMb: 200 };
const rounds = { quick: 3, full: 15 };
/** Of the agent once it is live: it gives memory back, and writes what it received to its disk. */
const quietMs = 4_000;

interface Start {
  readonly startToLiveS: number;
  readonly residentMb: number;
}

export const start: Bench = {
  name: "start",
  title: `an agent starts with ${printShape(shape)} on its disk, kernel dataplane: start of its process to live`,
  run,
};

async function run(context: BenchContext): Promise<readonly Row[]> {
  const missing = missingForKernelLab();
  if (missing !== undefined) throw new Error(`no kernel lab here: ${missing}`);
  const { isFull, say, signal, lab } = context;
  await using fed = await FedLab.start({ name: `${lab}t`, nodes: 1, dataplane: "kernel" }, shape, context);
  const node = fed.lab.node(1);
  await follow(fed, node, signal);
  const booted: Start[] = [];
  const restarted: Start[] = [];
  // The first one only fills caches of files and of compiled code.
  for (let round = 0; round <= (isFull ? rounds.full : rounds.quick); round++) {
    signal.throwIfAborted();
    await endAndClean(node);
    const boot = await startOf(node, signal);
    await node.agent.kill();
    const restart = await startOf(node, signal);
    if (round === 0) continue;
    say(
      `round ${round}: after a boot ${boot.startToLiveS.toFixed(2)} s, over live maps ${restart.startToLiveS.toFixed(2)} s`,
    );
    booted.push(boot);
    restarted.push(restart);
  }
  await endAndClean(node);
  fs.rmSync(node.state, { recursive: true });
  const received = await follow(fed, node, signal);
  return [
    row("after a boot", booted),
    row("over live maps", restarted),
    residentRow("resident, after a boot", booted),
    residentRow("resident, over live maps", restarted),
    residentRow("resident, after a received snapshot", [received]),
  ];
}

// From nothing: resolves some time after it has acked what it received.
async function follow(fed: FedLab, node: LabNode, signal: AbortSignal): Promise<Pick<Start, "residentMb">> {
  const acked = fed.firstAck(node.name);
  await node.startAgent();
  await acked;
  await delay(quietMs, undefined, { signal });
  return { residentMb: processUsage(node.agent.pid).residentMb };
}

async function endAndClean(node: LabNode): Promise<void> {
  await node.agent.kill();
  expectSuccess(await node.runAgent("cleanup", "--bpffs", node.bpffs, "--cgroup", node.cgroup ?? ""));
}

async function startOf(node: LabNode, signal: AbortSignal): Promise<Start> {
  const beganMs = performance.now();
  await node.startAgent();
  const startToLiveS = (performance.now() - beganMs) / 1_000;
  await delay(quietMs, undefined, { signal });
  return { startToLiveS, residentMb: processUsage(node.agent.pid).residentMb };
}

function row(what: string, starts: readonly Start[]): Row {
  const values = starts.map(({ startToLiveS }) => startToLiveS);
  const value = median(values);
  return {
    what,
    measured: { value, unit: "s", spread: extremes(values) },
    goal: atMost(value, goals.startS, "s"),
  };
}

function residentRow(what: string, starts: readonly Pick<Start, "residentMb">[]): Row {
  const values = starts.map(({ residentMb }) => residentMb);
  const value = median(values);
  return {
    what,
    measured: { value, unit: "MB", spread: extremes(values) },
    goal: atMost(value, goals.residentMb, "MB"),
  };
}
