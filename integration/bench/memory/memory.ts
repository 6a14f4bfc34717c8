/** `memory`: what the programs hold, idle and with a large cluster. */
import { missingForKernelLab } from "../../lab/kernel-support.ts";
import { atMost } from "../bench.ts";
import type { Bench, BenchContext, Row } from "../bench.ts";
import { clusterOf } from "../cluster.ts";
import { FedLab } from "../fed-lab.ts";
import { processMemory, settled } from "./process-memory.ts";
import type { MeasuredProcess } from "./process-memory.ts";

const large = clusterOf(10_000, 25);
const empty = clusterOf(0, 0, { nodes: 1 });
const backends = (large.services * large.endpoints).toLocaleString("en-US");
const goalsMb = { idle: 90, agent: 300, controlPlane: 600 };

export const memory: Bench = {
  name: "memory",
  title: `resident memory of agent and control plane, idle and with ${backends} backends`,
  run,
};

async function run(context: BenchContext): Promise<readonly Row[]> {
  return [...(await runIdle(context)), ...(await runLarge(context))];
}

async function runIdle(context: BenchContext): Promise<readonly Row[]> {
  const { say, signal, lab } = context;
  await using fed = await FedLab.start({ name: `${lab}i`, nodes: 1, dataplane: "memory" }, empty, context);
  const agent = await startMemoryAgent(fed);
  say("idle: wait until nothing happens any more");
  await settled(signal);
  return [
    await row(context, "agent, idle", agent, goalsMb.idle),
    await row(context, "control plane, idle", controlPlaneOf(fed)),
  ];
}

async function runLarge(context: BenchContext): Promise<readonly Row[]> {
  const { say, note, signal, lab } = context;
  const missing = missingForKernelLab();
  if (missing !== undefined) note(`agent, kernel dataplane: left out, no kernel lab here: ${missing}`);
  const dataplane = missing === undefined ? "kernel" : "memory";
  await using fed = await FedLab.start({ name: `${lab}l`, nodes: 1, dataplane }, large, context);
  say(`${backends} backends: the control plane was ready after ${(fed.loadedAfterMs / 1_000).toFixed(1)} s`);
  const memoryAgent = await startMemoryAgent(fed);
  const kernelAgent = missing === undefined ? await startKernelAgent(fed) : undefined;
  say(`${backends} backends: agents are active, wait until nothing happens any more`);
  await settled(signal);
  const rows = [await row(context, `agent, ${backends} backends, memory dataplane`, memoryAgent, goalsMb.agent)];
  if (kernelAgent !== undefined)
    rows.push(await row(context, `agent, ${backends} backends, kernel dataplane`, kernelAgent, goalsMb.agent));
  rows.push(await row(context, `control plane, ${backends} backends`, controlPlaneOf(fed), goalsMb.controlPlane));
  return rows;
}

// Resolves once it is active.
async function startMemoryAgent(fed: FedLab): Promise<MeasuredProcess> {
  const node = "node-memory";
  const acked = fed.firstAck(node);
  const agent = await fed.startMemoryAgent(node);
  await acked;
  return { pid: agent.process.pid, http: agent.http, place: fed.lab.controlplane.place };
}

// Resolves once it is active.
async function startKernelAgent(fed: FedLab): Promise<MeasuredProcess> {
  const node = fed.lab.node(1);
  const acked = fed.firstAck(node.name);
  await node.startAgent();
  await acked;
  return { pid: node.agent.pid, http: node.http, place: node.place };
}

function controlPlaneOf({ lab: { controlplane } }: FedLab): MeasuredProcess {
  return { pid: controlplane.process.pid, http: controlplane.http, place: controlplane.place };
}

async function row({ note }: BenchContext, what: string, measured: MeasuredProcess, goalMb?: number): Promise<Row> {
  const { residentMb, residentPeakMb, heapMb, externalMb } = await processMemory(measured);
  note(
    `${what}: peak ${residentPeakMb.toFixed(0)} MB; of the ${residentMb.toFixed(0)} MB ${heapMb.toFixed(0)} are objects, ` +
      `${externalMb.toFixed(0)} buffers, the rest the runtime, code and free pages`,
  );
  return {
    what,
    measured: { value: residentMb, unit: "MB" },
    ...(goalMb === undefined ? {} : { goal: atMost(residentMb, goalMb, "MB") }),
  };
}
