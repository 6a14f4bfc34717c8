/** Rounds of changes, each made once while all read and once while some stall; between them what the control plane holds. */
import type { Stage } from "../fleet/stage.ts";
import type { StallChanges } from "./changes.ts";
import { heldBy } from "./held.ts";
import type { Held } from "./held.ts";

/** Of each agent that stalls. */
export interface StallRound {
  /** Objects and buffers, less what the same changes cost while all read. */
  readonly heldKb: number;
  readonly residentKb: number;
  /** What the changes cost while all read, as if by each that stalls later. */
  readonly controlKb: number;
  readonly serverSocketKb: number;
  readonly clientSocketKb: number;
}

export async function stallRounds(
  stage: Stage,
  stalled: number,
  changes: StallChanges,
  count: number,
): Promise<readonly StallRound[]> {
  const { context, load, agents, controlPlane } = stage;
  const rounds: StallRound[] = [];
  // What is needed once is not measured.
  await changes.make(0);
  for (let round = 0; round < count; round++) {
    context.signal.throwIfAborted();
    context.say(`${changes.what}, round ${round + 1} of ${count}`);
    const first = await heldBy(stage);
    await changes.make(0);
    const before = await heldBy(stage);
    await load.stall(stalled);
    await changes.make(stalled);
    const after = await heldBy(stage);
    load.unstall();
    await controlPlane.until((metrics) => (metrics['weft_fleet_nodes{state="current"}'] ?? 0) >= agents);
    const grownKb = (from: Held, to: Held, bytes: (of: Held) => number): number =>
      (bytes(to) - bytes(from)) / 1_024 / stalled;
    const costsKb = (bytes: (of: Held) => number): number =>
      grownKb(before, after, bytes) - grownKb(first, before, bytes);
    rounds.push({
      heldKb: costsKb(({ heldBytes }) => heldBytes),
      residentKb: costsKb(({ residentBytes }) => residentBytes),
      controlKb: grownKb(first, before, ({ heldBytes }) => heldBytes),
      serverSocketKb: grownKb(before, after, ({ serverBytes }) => serverBytes),
      clientSocketKb: grownKb(before, after, ({ clientBytes }) => clientBytes),
    });
  }
  return rounds;
}
