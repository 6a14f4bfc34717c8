/** Every node that connected, and which of them a quorum is over (DESIGN section 4 "Fleet"). */
import { Convergence } from "./convergence.ts";
import { FleetNode } from "./fleet-node.ts";
import { RevisionRing } from "./revision-ring.ts";

/** A node that left counts for this long where the source has no Node objects, and is listed for as long where it has none of it. */
export const nodeSeenMs = 10 * 60_000;
/** Where the source has no Node objects, nothing completes for this long after start: the nodes are still coming back. */
export const settleMs = 30_000;

export class NodeTable {
  readonly convergence = new Convergence();
  readonly revisions = new RevisionRing();
  readonly #startedMs: number;
  readonly #nodes = new Map<string, FleetNode>();
  readonly #freeSlots: number[] = [];
  #known: ReadonlySet<string> | undefined;
  // Undefined: not asked for since a node came or went.
  #namesListed: readonly string[] | undefined;

  constructor(startedMs: number) {
    this.#startedMs = startedMs;
  }

  /** Names of the Node objects; undefined: the source has none. */
  get known(): ReadonlySet<string> | undefined {
    return this.#known;
  }

  set known(names: ReadonlySet<string> | undefined) {
    this.#known = names;
    this.#namesListed = undefined;
  }

  get(name: string): FleetNode | undefined {
    return this.#nodes.get(name);
  }

  /** Nodes that connected and are not forgotten. */
  nodes(): Iterable<FleetNode> {
    return this.#nodes.values();
  }

  /** Every node that has a Node object or connected, sorted. */
  namesListed(): readonly string[] {
    this.#namesListed ??= [...new Set([...this.#nodes.keys(), ...(this.#known ?? [])])].toSorted();
    return this.#namesListed;
  }

  /** Of these nodes a quorum is. Undefined: it has a Node object and never connected. */
  *members(): Generator<{ readonly name: string; readonly node: FleetNode | undefined }> {
    if (this.#known === undefined) for (const node of this.#nodes.values()) yield { name: node.name, node };
    else for (const name of this.#known) yield { name, node: this.#nodes.get(name) };
  }

  /** Why no wait completes now, whatever the count. */
  blocked(nowMs: number): string | undefined {
    if (this.#known === undefined) {
      if (nowMs - this.#startedMs < settleMs) {
        return `the source has no Node objects, so nothing completes in the first ${settleMs / 1_000} s after start`;
      }
      if (this.#nodes.size > 0) return undefined;
      return "no node is known: none has connected in the last 10 minutes";
    }
    return this.#known.size > 0 ? undefined : "no node is known: the source has no Node objects";
  }

  getOrAdd(name: string): FleetNode {
    let node = this.#nodes.get(name);
    if (node === undefined) {
      node = new FleetNode(name, this.#freeSlots.pop() ?? this.#nodes.size);
      this.#nodes.set(name, node);
      this.#namesListed = undefined;
    }
    return node;
  }

  /** Forgets nodes that have been gone for `nodeSeenMs` and have no Node object. True if there were any. */
  forgetGone(nowMs: number): boolean {
    let hasForgotten = false;
    for (const node of this.#nodes.values()) {
      if (
        node.stream.kind !== "closed" ||
        nowMs - node.stream.atMs < nodeSeenMs ||
        this.#known?.has(node.name) === true
      )
        continue;
      this.#nodes.delete(node.name);
      this.#namesListed = undefined;
      this.#freeSlots.push(node.slot);
      this.convergence.forgotten(node.slot);
      this.revisions.forgotten(node.slot);
      hasForgotten = true;
    }
    return hasForgotten;
  }
}
