/** What a node is to people: one word of four. The same in status and metrics. */
import type { Revision } from "@weft/proto/cursor.ts";
import type { FleetNode } from "./fleet-node.ts";
import type { NodeTable } from "./node-table.ts";

export type NodeState = "current" | "behind" | "failing" | "disconnected";

/** Undefined: it has a Node object and never connected. */
export function nodeState(node: FleetNode | undefined, head: Revision): NodeState {
  if (node?.stream.kind !== "open") return "disconnected";
  if (!node.stream.hasAcked || node.applied < head) return "behind";
  return node.isClean ? "current" : "failing";
}

/** Every node that has a Node object or connected. */
export function* allNodes(
  table: NodeTable,
): Generator<{ readonly name: string; readonly node: FleetNode | undefined }> {
  for (const node of table.nodes()) yield { name: node.name, node };
  for (const name of table.known ?? []) if (table.get(name) === undefined) yield { name, node: undefined };
}

export function countNodes(table: NodeTable, head: Revision): Record<NodeState, number> {
  const counts = { current: 0, behind: 0, failing: 0, disconnected: 0 };
  for (const { node } of allNodes(table)) counts[nodeState(node, head)]++;
  return counts;
}
