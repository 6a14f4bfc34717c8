/** One change to all agents, from one thread and from two. There are two cores, and the load needs one of them. */
import type { BenchContext, Row } from "../bench.ts";
import { extremes, median } from "../quantiles.ts";
import { makeChanges } from "./changes.ts";
import { endStage, stageOf } from "./stage.ts";

const shape = { services: 100, endpoints: 10 };
const changes = 12;
const everyMs = 400;
/** Not counted. */
const warmUps = 3;

export async function workers(context: BenchContext, agents: number): Promise<readonly Row[]> {
  const one = await lastAcksMs(context, agents, 1);
  const two = await lastAcksMs(context, agents, 2);
  return [
    {
      what: "one change with --workers 2, both on all cores beside the load, commit to last ack",
      measured: { value: median(two), unit: "ms", spread: extremes(two) },
      peer: { name: "--workers 1", value: median(one) },
    },
  ];
}

async function lastAcksMs(context: BenchContext, agents: number, threads: number): Promise<readonly number[]> {
  const stage = await stageOf(context, agents, shape, { workers: threads, isOnAllCores: true });
  await stage.load.connect();
  context.say(`single changes with --workers ${threads}`);
  const { converged } = await makeChanges(stage, warmUps + changes, everyMs);
  await endStage(stage);
  return converged.slice(warmUps).map(({ elapsedMs }) => elapsedMs);
}
