/** A fleet that holds nothing comes all at once to a large cluster. */
import { atMost } from "../bench.ts";
import type { Row } from "../bench.ts";
import { processUsage } from "../process-usage.ts";
import type { Stage } from "./stage.ts";

export async function coldAgents({ context, agents, controlPlane, load }: Stage): Promise<readonly Row[]> {
  context.say(`${agents} cold agents`);
  const up = await load.connect();
  const { residentMb, residentPeakMb } = processUsage(controlPlane.pid);
  const seconds = up.elapsedUs / 1e6;
  return [
    {
      what: `${agents.toLocaleString("en-US")} cold agents, 10,000 x 10: all hold everything`,
      measured: { value: seconds, unit: "s" },
    },
    { what: "cold agents: snapshot", measured: { value: up.dataBytes / agents / 2 ** 20, unit: "MB" } },
    { what: "cold agents: sent a second", measured: { value: up.dataBytes / 2 ** 20 / seconds, unit: "MB" } },
    {
      what: "cold agents: peak RSS of the control plane",
      measured: { value: residentPeakMb, unit: "MB" },
      goal: atMost(residentPeakMb, 1_024, "MB"),
    },
    { what: "cold agents: RSS of the control plane when all are up", measured: { value: residentMb, unit: "MB" } },
  ];
}
