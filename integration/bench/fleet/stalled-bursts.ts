/** A fifth of the agents stop reading while much changes: more than their windows take. */
import { atMost } from "../bench.ts";
import type { Row } from "../bench.ts";
import { socketMemory } from "../socket-memory.ts";
import { bursts } from "./bursts.ts";
import { memoryOf } from "./control-plane-memory.ts";
import type { Stage } from "./stage.ts";

const stalled = 1_000;
/** Of the agents, on the stage that this needs. */
export const windowBytes = 128 * 1_024;

export async function stalledBursts(stage: Stage, count: number): Promise<readonly Row[]> {
  const { context, controlPlane, load } = stage;
  // Once more with all reading: what that needs is not what stalls cost.
  await bursts(stage, count);
  await controlPlane.collectGarbage();
  const before = await memoryOf(controlPlane);
  const socketsBefore = socketMemory(controlPlane.port);
  context.say(`${stalled} agents stall while much changes`);
  await load.stall(stalled);
  const { bytesEach } = await bursts(stage, count, stalled);
  const sockets = socketMemory(controlPlane.port);
  await controlPlane.collectGarbage();
  const after = await memoryOf(controlPlane);
  const grownKb = (mb: (of: typeof after) => number): number => ((mb(after) - mb(before)) * 1_024) / stalled;
  const heldKb = grownKb(({ heapMb, externalMb }) => heapMb + externalMb);
  const residentKb = grownKb(({ residentMb }) => residentMb);
  const size = `${count} changes of ${(bytesEach / 1_024).toFixed(0)} KB (windows of ${windowBytes / 1_024} KB full)`;
  return [
    {
      what: `memory per stalled agent after ${size}: objects and buffers without garbage`,
      measured: { value: heldKb, unit: "KB" },
      goal: atMost(heldKb, 20, "KB"),
    },
    {
      what: "  growth of the RSS, garbage collected before and after",
      measured: { value: residentKb, unit: "KB" },
      goal: atMost(residentKb, 20, "KB"),
    },
    {
      what: "  beside it, its socket in the kernel",
      measured: { value: (sockets.serverKb - socketsBefore.serverKb) / stalled, unit: "KB" },
    },
    {
      what: "  and the agent's (here on the same machine)",
      measured: { value: (sockets.clientKb - socketsBefore.clientKb) / stalled, unit: "KB" },
    },
  ];
}
