/** A fifth of the agents stop reading; the others must not notice. What that costs in memory is seen in `stalls`. */
import { setTimeout as sleep } from "node:timers/promises";
import { atMost } from "../bench.ts";
import type { Row } from "../bench.ts";
import { extremes, median } from "../quantiles.ts";
import type { Stage } from "./stage.ts";

const stalled = 1_000;
const rounds = 20;
const calmMs = 300;

export async function stalledAgents(stage: Stage): Promise<readonly Row[]> {
  const { context, agents, load } = stage;
  context.say("all read");
  const all = await lastAcksMs(stage);
  context.say(`${stalled} agents stall`);
  await load.stall(stalled);
  const others = await lastAcksMs(stage);
  return [
    {
      what: `${stalled.toLocaleString("en-US")} of ${agents.toLocaleString("en-US")} stall: first byte to last ack of the others`,
      measured: { value: median(others), unit: "ms", spread: extremes(others) },
      peer: { name: "of all, before", value: median(all) },
      goal: atMost(median(others) / median(all), 1.1, "x"),
    },
  ];
}

// As the agents see it: the control plane does not call a revision run by all while some stall.
async function lastAcksMs({ load, api, context }: Stage): Promise<readonly number[]> {
  const lastAcks: number[] = [];
  for (let round = 0; round < rounds; round++) {
    context.signal.throwIfAborted();
    const reached = load.reached();
    await api.change(0);
    const { ackedLastUs, firstUs } = await reached;
    lastAcks.push((ackedLastUs - firstUs) / 1_000);
    await sleep(calmMs);
  }
  return lastAcks;
}
