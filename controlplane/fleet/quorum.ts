/** How many nodes are enough. */

export type Quorum =
  | { readonly kind: "nodes"; readonly nodes: number }
  /** 1 to 100, rounded up to whole nodes. */
  | { readonly kind: "percent"; readonly percent: number };

export const everyNode: Quorum = { kind: "percent", percent: 100 };

/** Nodes that are needed of `total`. A number may be more than there are: it is waited for. */
export function nodesNeeded(quorum: Quorum, total: number): number {
  return quorum.kind === "nodes" ? quorum.nodes : Math.ceil((total * quorum.percent) / 100);
}
