/** `weft confirm-removal`: what the source lacks is really meant to be gone. */
import type { ConfirmRemovalResponse } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { exitCodes, type ExitCode } from "@weft/proto/program/exit.ts";
import type { ConfirmRemovalValues } from "./commands.ts";
import { FleetClient } from "./fleet-client.ts";
import { writeOut } from "@weft/proto/program/stdout.ts";

/** Names in a line for people. */
const namesShownMax = 16;

export async function runConfirmRemoval(values: ConfirmRemovalValues, signal: AbortSignal): Promise<ExitCode> {
  using client = FleetClient.connect(values, signal);
  const confirmed = await client.confirmRemoval();
  await writeOut(values.output === "json" ? printJson(confirmed) : printText(confirmed));
  return exitCodes.ok;
}

function printJson({ removal, nodes, nodeNames }: ConfirmRemovalResponse): string {
  const { services = 0, ofServices = 0, serviceNames = [] } = removal ?? {};
  return `${JSON.stringify({ services, ofServices, serviceNames, nodes, nodeNames })}\n`;
}

function printText({ removal, nodes, nodeNames }: ConfirmRemovalResponse): string {
  if (removal === undefined && nodes === 0) return "nothing is held\n";
  const lines: string[] = [];
  if (removal !== undefined) {
    const { services, ofServices, serviceNames } = removal;
    lines.push(`confirmed: ${services} of ${ofServices} services are removed: ${printNames(serviceNames, services)}\n`);
  }
  if (nodes > 0)
    lines.push(`confirmed for ${nodes} ${nodes === 1 ? "node" : "nodes"}: ${printNames(nodeNames, nodes)}\n`);
  return lines.join("");
}

function printNames(names: readonly string[], count: number): string {
  const shown = names.slice(0, namesShownMax);
  return shown.join(", ") + (count > shown.length ? `, and ${count - shown.length} more` : "");
}
