/** Forms of a revision's trace: a table with a waterfall for people, one object for programs. Pure. */
import type { GetTraceResponse, TracedNode } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { table } from "./output.ts";
import { printMicroseconds, printWireEpoch } from "./printed.ts";

/** Columns of a bar. */
const barWidth = 40;

interface Step {
  readonly name: string;
  /** Microseconds from the commit; negative: before it. */
  readonly fromUs: number;
  readonly tookUs: number;
}

export function traceJson(trace: GetTraceResponse): string {
  const { commit } = trace;
  const value = {
    epoch: printWireEpoch(trace.epoch),
    revision: Number(commit?.revision ?? 0),
    traceId: trace.traceId === "" ? null : trace.traceId,
    committedAt: committedAt(trace),
    puts: commit?.puts ?? 0,
    removals: commit?.removals ?? 0,
    bytes: Number(commit?.bytes ?? 0),
    services: commit?.services ?? [],
    steps: stepsOf(trace),
    connected: trace.connected,
    acked: trace.acked,
    convergence: trace.convergence.map(({ percent, elapsedUs }) => ({ percent, elapsedUs: Number(elapsedUs) })),
    nodes: trace.nodes.map((node) => ({
      node: node.node,
      commitToAckUs: Number(node.commitToAckUs),
      revision: Number(node.revision),
      ...durationsOf(node),
      failures: node.failuresTotal,
      cameLater: node.cameLater,
    })),
    missing: trace.missing.map(({ node, applied, reason }) => ({ node, applied: Number(applied), reason })),
    missingTotal: trace.missingTotal,
  };
  return `${JSON.stringify(value)}\n`;
}

export function traceTable(trace: GetTraceResponse): string {
  const { commit, missing, missingTotal } = trace;
  const left = missingTotal - missing.length;
  return [
    `revision ${commit?.revision ?? 0n}  epoch ${printWireEpoch(trace.epoch)}  committed ${committedAt(trace)}\n`,
    `${commit?.puts ?? 0} put, ${commit?.removals ?? 0} removed, ${commit?.bytes ?? 0n} bytes: ${commit?.services.join(", ") || "-"}\n`,
    trace.traceId === "" ? "" : `trace ${trace.traceId}\n`,
    `${trace.acked} of the ${trace.connected} nodes that were connected have acked it${shares(trace)}\n`,
    "\n",
    waterfall(trace),
    ...missing.map(({ node, applied, reason }) => `missing ${node} (at revision ${applied}): ${reason}\n`),
    left > 0 ? `missing: and ${left} more\n` : "",
  ].join("");
}

// ": first 1.2 ms, 50 % 3.0 ms, …"
function shares({ firstAckUs, acked, convergence }: GetTraceResponse): string {
  if (acked === 0) return "";
  const parts = convergence.map(({ percent, elapsedUs }) => `${percent} % ${printMicroseconds(Number(elapsedUs))}`);
  return `: ${[`first ${printMicroseconds(Number(firstAckUs))}`, ...parts].join(", ")}`;
}

function waterfall(trace: GetTraceResponse): string {
  const steps = stepsOf(trace);
  const { nodes } = trace;
  const fromUs = Math.min(0, ...steps.map((step) => step.fromUs));
  // Who came later would make everything else a point.
  const inTime = nodes.filter(({ cameLater }) => !cameLater).map(({ commitToAckUs }) => Number(commitToAckUs));
  const toUs = Math.max(1, ...steps.map((step) => step.fromUs + step.tookUs), ...inTime);
  const bar = (parts: readonly (readonly [mark: string, fromUs: number, toUs: number])[]): string => {
    const column = (us: number): number =>
      Math.min(barWidth, Math.max(0, Math.round(((us - fromUs) / (toUs - fromUs)) * barWidth)));
    const cells = Array.from({ length: barWidth }, () => " ");
    for (const [mark, start, end] of parts) {
      // What took no time to speak of is still seen.
      const first = Math.min(barWidth - 1, column(start));
      cells.fill(mark, first, Math.max(first + 1, column(end)));
    }
    return `|${cells.join("")}|`;
  };
  const stepRows = steps.map(({ name, fromUs: start, tookUs }) => [
    name,
    printSigned(start),
    printMicroseconds(tookUs),
    bar([["#", start, start + tookUs]]),
  ]);
  const nodeRows = nodes.map((node) => {
    const { receivedToActiveUs, planUs, stageUs, persistUs } = durationsOf(node);
    const ackUs = Number(node.commitToAckUs);
    const receivedUs = Math.max(0, ackUs - receivedToActiveUs);
    return [
      node.node,
      printMicroseconds(ackUs),
      printMicroseconds(receivedUs),
      printMicroseconds(receivedToActiveUs),
      printMicroseconds(planUs),
      printMicroseconds(stageUs),
      printMicroseconds(persistUs),
      String(node.revision),
      bar([
        ["-", 0, receivedUs],
        ["#", receivedUs, ackUs],
      ]) + (node.cameLater ? " came later" : ""),
    ];
  });
  const columns = ["NODE", "ACKED", "ON THE WAY", "ON THE NODE", "PLAN", "STAGE", "PERSIST", "REVISION", ""];
  const ofNodes = nodes.length === 0 ? "" : `\n${table(columns, nodeRows)}`;
  return `${table(["STEP", "FROM", "TOOK", ""], stepRows)}${ofNodes}`;
}

function stepsOf(trace: GetTraceResponse): readonly Step[] {
  const committedAtUs = trace.commit?.committedAtUs ?? 0n;
  const step = (name: string, startUs: bigint, endUs: bigint): Step => ({
    name,
    fromUs: Number(startUs - committedAtUs),
    tookUs: Math.max(0, Number(endUs - startUs)),
  });
  const { noticedAtUs, compileStartedAtUs, compiledAtUs, sentAtUs, firstAckUs, lastAckUs } = trace;
  return [
    step("event", noticedAtUs, compileStartedAtUs),
    step("compile", compileStartedAtUs, compiledAtUs),
    step("commit", compiledAtUs, committedAtUs),
    ...(sentAtUs === 0n ? [] : [step("fan-out", committedAtUs, sentAtUs)]),
    ...(trace.acked === 0 ? [] : [step("acks", committedAtUs + firstAckUs, committedAtUs + lastAckUs)]),
  ];
}

function durationsOf({ durations }: TracedNode) {
  const { receivedToActiveUs = 0, planUs = 0, stageUs = 0, persistUs = 0 } = durations ?? {};
  return { receivedToActiveUs, planUs, stageUs, persistUs };
}

function printSigned(us: number): string {
  return us < 0 ? `-${printMicroseconds(-us)}` : printMicroseconds(us);
}

function committedAt({ commit }: GetTraceResponse): string {
  return new Date(Number((commit?.committedAtUs ?? 0n) / 1_000n)).toISOString();
}
