/**
 * What worker threads bring: one change to all agents, and what of it each thread does. There are two cores, and the load needs one of
 * them: the times are bounded by that; what the main thread does for a change is what more cores cannot share.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { BenchContext, Row } from "../bench.ts";
import { threadTimesMs } from "../process-usage.ts";
import { extremes, median } from "../quantiles.ts";
import { makeChanges } from "./changes.ts";
import { endStage, stageOf } from "./stage.ts";

const shape = { services: 100, endpoints: 10 };
const changes = 12;
const everyMs = 400;
/** Not counted. */
const warmUps = 3;
/** For what threads do without changes: heartbeats. */
const restMs = 4_000;

export async function workers(context: BenchContext, agents: number): Promise<readonly Row[]> {
  const one = await broadcast(context, agents, 1);
  const two = await broadcast(context, agents, 2);
  return [
    {
      what: "one change with --workers 2, both on all cores beside the load, commit to last ack",
      measured: { value: median(two.lastAcksMs), unit: "ms", spread: extremes(two.lastAcksMs) },
      peer: { name: "--workers 1", value: median(one.lastAcksMs) },
    },
    {
      what: "  CPU of its main thread for one change, acks included",
      measured: { value: two.mainMs, unit: "ms" },
      peer: { name: "--workers 1", value: one.mainMs },
    },
    { what: "  CPU of each worker for one change", measured: { value: median(two.workersMs), unit: "ms" } },
  ];
}

export interface Broadcast {
  readonly lastAcksMs: readonly number[];
  /** CPU for one change; that of the runtime's own threads left out. */
  readonly mainMs: number;
  readonly workersMs: readonly number[];
}

export async function broadcast(context: BenchContext, agents: number, threads: number): Promise<Broadcast> {
  const stage = await stageOf(context, agents, shape, { workers: threads, isOnAllCores: true });
  await stage.load.connect();
  context.say(`single changes with --workers ${threads}`);
  await makeChanges(stage, warmUps, everyMs);
  const { pid } = stage.controlPlane;
  const before = atOf(pid);
  await sleep(restMs);
  const rested = atOf(pid);
  const { converged } = await makeChanges(stage, changes, everyMs);
  const after = atOf(pid);
  await endStage(stage);
  const ofChange = (thread: number): number => {
    const used = (from: At, to: At): number => (to.cpuMs.get(thread) ?? 0) - (from.cpuMs.get(thread) ?? 0);
    const restShare = (after.ms - rested.ms) / (rested.ms - before.ms);
    return (used(rested, after) - used(before, rested) * restShare) / changes;
  };
  return {
    lastAcksMs: converged.map(({ elapsedMs }) => elapsedMs),
    mainMs: ofChange(pid),
    workersMs: after.workers.map(ofChange),
  };
}

interface At {
  readonly ms: number;
  readonly cpuMs: ReadonlyMap<number, number>;
  readonly workers: readonly number[];
}

function atOf(pid: number): At {
  const threads = [...threadTimesMs(pid)];
  return {
    ms: performance.now(),
    cpuMs: new Map(threads.map(([thread, { cpuMs }]) => [thread, cpuMs])),
    workers: threads.filter(([, { name }]) => name.startsWith("weft-worker")).map(([thread]) => thread),
  };
}
