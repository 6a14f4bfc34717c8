/** `weft status`: which node runs which revision. */
import { FailureCategory, type Failure } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { FleetStatus, HeldRemoval, NodeCounts, NodeStatus } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { exitCodes, type ExitCode } from "@weft/proto/program/exit.ts";
import { writeOut } from "@weft/proto/program/stdout.ts";
import type { StatusValues } from "./commands.ts";
import { FleetClient } from "./fleet-client.ts";
import { table } from "./output.ts";
import { printWireEpoch } from "./printed.ts";

export async function runStatus(values: StatusValues, signal: AbortSignal): Promise<ExitCode> {
  using client = FleetClient.connect(values, signal);
  const print = values.output === "json" ? printJson : printTable;
  if (values.laggards) {
    const { status } = await client.getStatus(true);
    if (status !== undefined) await writeOut(values.output === "json" ? laggardsJson(status) : laggardsText(status));
    return exitCodes.ok;
  }
  if (!values.watch) {
    const { status } = await client.getStatus();
    if (status !== undefined) await writeOut(print(status));
    return exitCodes.ok;
  }
  const isScreen = values.output === "table" && process.stdout.isTTY;
  try {
    for await (const { status } of client.watchStatus()) {
      if (status !== undefined)
        await writeOut(`${isScreen ? clearScreen : ""}${print(status)}${values.output === "table" ? "\n" : ""}`);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return exitCodes.ok;
}

const clearScreen = "\x1b[2J\x1b[H";

function printJson(status: FleetStatus): string {
  const nodes = status.nodes.map((node) => ({
    node: node.node,
    connected: node.connected,
    received: Number(node.received),
    applied: Number(node.applied),
    lag: Number(node.lag),
    roundTripMs: node.roundTripUs === undefined ? null : node.roundTripUs / 1_000,
    failures: node.failures.map(({ service, category, reason }) => ({
      service,
      category: printCategory(category),
      reason,
    })),
  }));
  const fixed = { epoch: printWireEpoch(status.epoch), revision: Number(status.revision), nodes };
  const { heldRemoval } = status;
  // Only while something is held: the rest of the time the object is as it always was.
  return `${JSON.stringify(heldRemoval === undefined ? fixed : { ...fixed, heldRemoval: heldOf(heldRemoval) })}\n`;
}

function laggardsJson(status: FleetStatus): string {
  const { current, behind, failing, disconnected } = countsOf(status);
  const laggards = status.laggards.map(({ node, applied, reason }) => ({ node, applied: Number(applied), reason }));
  const counts = { current, behind, failing, disconnected };
  const { laggardsTotal } = status;
  const fixed = { epoch: printWireEpoch(status.epoch), revision: Number(status.revision), counts };
  return `${JSON.stringify({ ...fixed, laggards, laggardsTotal })}\n`;
}

function laggardsText(status: FleetStatus): string {
  countsOf(status);
  return headOf(status) + countsLine(status) + laggardLines(status);
}

function countsOf({ counts }: FleetStatus): NodeCounts {
  if (counts !== undefined) return counts;
  throw new ProgramError("unsupported", "the control plane is older and does not count nodes", {
    remedy: "leave --laggards out, or update it",
  });
}

function headOf(status: FleetStatus): string {
  return `epoch ${printWireEpoch(status.epoch)}  revision ${status.revision}${status.synced ? "" : "  (source not synced yet)"}\n`;
}

// None from a control plane that does not count.
function countsLine({ counts }: FleetStatus): string {
  if (counts === undefined) return "";
  const { current, behind, failing, disconnected } = counts;
  const total = current + behind + failing + disconnected;
  return `nodes ${total}: ${current} current, ${behind} behind, ${failing} failing, ${disconnected} disconnected\n`;
}

function laggardLines({ laggards, laggardsTotal }: FleetStatus): string {
  const lines = laggards.map(({ node, applied, reason }) => `lags: ${node} (at revision ${applied}): ${reason}\n`);
  const left = laggardsTotal - laggards.length;
  return lines.join("") + (left > 0 ? `lags: and ${left} more\n` : "");
}

function printTable(status: FleetStatus): string {
  const rows = status.nodes.map((node) => [
    node.node,
    node.connected ? "yes" : "no",
    String(node.received),
    String(node.applied),
    String(node.lag),
    node.roundTripUs === undefined ? "-" : `${(node.roundTripUs / 1_000).toFixed(1)} ms`,
    node.versions?.dataplane ?? "-",
    String(node.failuresTotal),
  ]);
  const nodes = table(["NODE", "CONNECTED", "RECEIVED", "APPLIED", "LAG", "ROUND-TRIP", "DATAPLANE", "FAILURES"], rows);
  const held = status.heldRemoval === undefined ? "" : printHeld(status.heldRemoval);
  const failures = status.nodes.flatMap(failureLines).join("");
  return headOf(status) + countsLine(status) + held + nodes + failures + laggardLines(status);
}

function heldOf({ services, ofServices, sinceMs, untilMs, serviceNames }: HeldRemoval) {
  const [since, until] = [sinceMs, untilMs].map((ms) => new Date(Number(ms)).toISOString());
  return { services, ofServices, since, until, serviceNames };
}

function printHeld(held: HeldRemoval): string {
  const { services, ofServices, since, until } = heldOf(held);
  return (
    `MASS REMOVAL HELD: the source lacks ${services} of ${ofServices} services since ${since}; they are served as they were ` +
    `until ${until}; look at the source, or run \`weft confirm-removal\`\n`
  );
}

function failureLines(node: NodeStatus): readonly string[] {
  const left = node.failuresTotal - node.failures.length;
  const lines = node.failures.map((failure) => `${node.node}: ${printFailure(failure)}\n`);
  return left > 0 ? [...lines, `${node.node}: and ${left} more\n`] : lines;
}

function printFailure({ service, category, reason }: Failure): string {
  return `${service === "" ? "the node" : service}: ${printCategory(category)}: ${reason}`;
}

function printCategory(of: FailureCategory): string {
  switch (of) {
    case FailureCategory.CAPACITY:
      return "capacity";
    case FailureCategory.KERNEL:
      return "kernel";
    case FailureCategory.CONFLICT:
      return "conflict";
    case FailureCategory.UNSUPPORTED:
      return "unsupported";
    case FailureCategory.MASS_REMOVAL_HELD:
      return "mass_removal_held";
    default:
      return "unknown";
  }
}
