/**
 * The nodes of a quorum, counted once for all waits: nodes that run what they acked whole are a sorted list of revisions, so a
 * wait costs a binary search; only nodes with failures are judged one by one.
 */
import { missingReason } from "./missing-reason.ts";
import type { FleetHistory, Needed } from "./missing-reason.ts";
import type { FleetNode } from "./fleet-node.ts";

export class Tally {
  /** Nodes of the quorum. */
  readonly total: number;
  readonly #clean: Float64Array;
  readonly #failing: readonly FleetNode[];

  /** @param members Undefined: a node that never connected. */
  constructor(members: Iterable<FleetNode | undefined>) {
    let total = 0;
    const clean: number[] = [];
    const failing: FleetNode[] = [];
    for (const node of members) {
      total++;
      if (node?.stream.kind !== "open" || !node.stream.hasAcked) continue;
      if (node.isClean) clean.push(node.applied);
      else failing.push(node);
    }
    this.total = total;
    this.#clean = Float64Array.from(clean).toSorted();
    this.#failing = failing;
  }

  /** Nodes that count. */
  have(needed: Needed, history: FleetHistory, nowMs: number): number {
    let low = 0;
    let high = this.#clean.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#clean[middle] ?? 0) < needed.revision) low = middle + 1;
      else high = middle;
    }
    let have = this.#clean.length - low;
    for (const node of this.#failing) {
      // One that is behind never counts, and its reason is a text nobody reads here.
      if (node.applied >= needed.revision && missingReason(node, needed, history, nowMs) === undefined) have++;
    }
    return have;
  }
}
