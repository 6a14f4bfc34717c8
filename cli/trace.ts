/** `weft trace`: how a revision went, from acks alone. */
import { exitCodes, type ExitCode } from "@weft/proto/program/exit.ts";
import { writeOut } from "@weft/proto/program/stdout.ts";
import type { TraceValues } from "./commands.ts";
import { FleetClient } from "./fleet-client.ts";
import { traceJson, traceTable } from "./trace-text.ts";

export async function runTrace(values: TraceValues, signal: AbortSignal): Promise<ExitCode> {
  using client = FleetClient.connect(values, signal);
  const { revision: asked, slowest, node: nodes } = values;
  const epoch = asked?.epoch && { createdMs: BigInt(asked.epoch.createdMs), random: asked.epoch.random };
  const cursor = asked && { ...(epoch === undefined ? {} : { epoch }), revision: BigInt(asked.revision) };
  const trace = await client.getTrace({ ...(cursor === undefined ? {} : { cursor }), slowest, nodes: [...nodes] });
  await writeOut(values.output === "json" ? traceJson(trace) : traceTable(trace));
  return exitCodes.ok;
}
