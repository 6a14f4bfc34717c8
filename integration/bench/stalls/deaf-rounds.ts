/** Agents that come and read nothing at all: each needs everything, or another delta than all others. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Stage } from "../fleet/stage.ts";
import { heldBy } from "./held.ts";
import type { StallRound } from "./stall-rounds.ts";

/** Revisions of which each is another state that an agent may come with; the load program knows of as many. */
const history = { revisions: 200, servicesEach: 80 };
/** By then nobody could be written any more, and nobody is ended yet. */
const stuckMs = 6_000;

/** Makes many revisions, so that deltas from some time ago are long. */
export async function makeHistory({ api, load, context, services }: Stage): Promise<void> {
  context.say(`${history.revisions} revisions`);
  for (let revision = 0; revision < history.revisions; revision++) {
    context.signal.throwIfAborted();
    const first = revision * history.servicesEach;
    const reached = load.reached();
    await api.changeAll(Array.from({ length: history.servicesEach }, (_, i) => (first + i) % services));
    await reached;
  }
}

export async function deafRounds(
  stage: Stage,
  holding: "nothing" | "old states",
  count: number,
): Promise<readonly StallRound[]> {
  const { context, load, agents, controlPlane } = stage;
  const rounds: StallRound[] = [];
  for (let round = 0; round < count; round++) {
    context.signal.throwIfAborted();
    context.say(`${agents} agents come with ${holding} and do not read, round ${round + 1} of ${count}`);
    const before = await heldBy(stage);
    await load.deafen(agents, holding);
    await sleep(stuckMs);
    const after = await heldBy(stage);
    const eachKb = (of: keyof typeof after): number => (after[of] - before[of]) / 1_024 / agents;
    rounds.push({
      heldKb: eachKb("heldBytes"),
      residentKb: eachKb("residentBytes"),
      controlKb: 0,
      serverSocketKb: eachKb("serverBytes"),
      clientSocketKb: eachKb("clientBytes"),
    });
    await load.close();
    await controlPlane.emptied();
    await load.connect();
  }
  return rounds;
}
