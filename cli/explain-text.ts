/** The answer of `weft explain` for people. */
import type { Trail } from "@weft/nodeagent/plan/explain/explainer.ts";
import type { Flow, FlowAnswer } from "@weft/nodeagent/plan/explain/flow.ts";
import { printSocketAddress } from "@weft/proto/address.ts";

/** Endpoints that are listed; of the others their number is. */
const listedMax = 50;

/** Some lines, each with its line end. */
export function explainText(node: string, flow: Flow, answer: FlowAnswer, { steps, leftOut }: Trail): string {
  const { from, to, port, protocol } = flow;
  const lines = [`${from} to ${printSocketAddress(to, port)}/${protocol} on node ${node}: ${answer.verdict}`, ""];
  const width = Math.max(...steps.map(({ title }) => title.length));
  for (const { title, text } of steps) lines.push(`  ${title.padEnd(width)}  ${text}`);
  if (answer.backends.length > 0) lines.push("", "backends:", ...listed(answer.backends));
  if (leftOut.length > 0) {
    lines.push("", "left out:", ...listed(leftOut.map(({ endpoint, reason }) => `${endpoint}  ${reason}`)));
  }
  return lines.map((line) => `${line}\n`).join("");
}

function listed(rows: readonly string[]): readonly string[] {
  const shown = rows.slice(0, listedMax).map((row) => `  ${row}`);
  return rows.length > listedMax ? [...shown, `  and ${rows.length - listedMax} more`] : shown;
}
