/**
 * How long each revision takes to run on 50, 90, 99 and 100 % of the nodes that were connected when it was committed: the real
 * network-programming SLI. An ack of N counts for every revision before it. A node that disconnects counts as not there until
 * it acks again.
 *
 * Who is still to ack a revision is one bit per node: a commit copies 625 bytes for 5,000 nodes.
 */
import type { Revision } from "@weft/proto/cursor.ts";

/** Revisions that are followed at a time; the oldest is given up. */
export const revisionsFollowedMax = 1_024;

/** Shares of the nodes that are told. */
export const percents = [50, 90, 99, 100] as const;

export interface Converged {
  readonly revision: Revision;
  readonly percent: (typeof percents)[number];
  /** Unix microseconds. */
  readonly committedAtUs: number;
  readonly elapsedUs: number;
  /** Nodes that were connected at the commit. */
  readonly nodes: number;
}

const none: readonly Converged[] = [];

interface Followed {
  readonly revision: Revision;
  readonly committedAtUs: number;
  readonly nodes: number;
  readonly outstanding: Uint32Array;
  have: number;
  /** Index into `percents` of the next share. */
  next: number;
}

export class Convergence {
  #connected = new Uint32Array(32);
  #nodes = 0;
  // Ascending.
  #followed: Followed[] = [];

  connected(slot: number): void {
    if (slot >> 5 >= this.#connected.length) {
      const grown = new Uint32Array(Math.max(this.#connected.length * 2, (slot >> 5) + 1));
      grown.set(this.#connected);
      this.#connected = grown;
    }
    if (!takeBit(this.#connected, slot)) this.#nodes++;
    this.#connected[slot >> 5] = (this.#connected[slot >> 5] ?? 0) | (1 << (slot & 31));
  }

  disconnected(slot: number): void {
    if (takeBit(this.#connected, slot)) this.#nodes--;
  }

  /** A bit per slot: the nodes that are connected. The caller's own. */
  slotsConnected(): Uint32Array {
    return this.#connected.slice();
  }

  /** Nodes that are connected. */
  get nodesConnected(): number {
    return this.#nodes;
  }

  /** The slot will belong to another node. */
  forgotten(slot: number): void {
    this.disconnected(slot);
    for (const { outstanding } of this.#followed) takeBit(outstanding, slot);
  }

  epochStarted(): void {
    this.#followed = [];
  }

  committed(revision: Revision, nowUs: number): void {
    this.#followed.push({
      revision,
      committedAtUs: nowUs,
      nodes: this.#nodes,
      outstanding: this.#connected.slice(),
      have: 0,
      next: 0,
    });
    if (this.#followed.length > revisionsFollowedMax) this.#followed.shift();
  }

  /** @param after The revision that the node had acked before: everything up to it is counted. */
  acked(slot: number, after: Revision, upTo: Revision, nowUs: number): readonly Converged[] {
    let converged: Converged[] | undefined;
    // Revisions are consecutive.
    const first = this.#followed[0]?.revision ?? 0;
    for (let i = Math.max(0, after + 1 - first); i < this.#followed.length; i++) {
      const followed = this.#followed[i];
      if (followed === undefined || followed.revision > upTo) break;
      if (!takeBit(followed.outstanding, slot)) continue;
      followed.have++;
      for (; followed.next < percents.length; followed.next++) {
        const percent = percents[followed.next] ?? 100;
        if (followed.have * 100 < percent * followed.nodes) break;
        const { revision, nodes, committedAtUs } = followed;
        (converged ??= []).push({ revision, percent, committedAtUs, elapsedUs: nowUs - committedAtUs, nodes });
      }
    }
    return converged ?? none;
  }

  /** Unix microseconds; undefined if the revision is not followed. */
  committedAtUs(revision: Revision): number | undefined {
    const first = this.#followed[0]?.revision ?? 0;
    const followed = this.#followed[revision - first];
    return followed?.revision === revision ? followed.committedAtUs : undefined;
  }

  /** Commits that not all nodes run which were connected then. */
  get revisionsOpen(): number {
    return this.#followed.reduce((open, { have, nodes }) => open + (have < nodes ? 1 : 0), 0);
  }
}

// Clears the bit; true if it was set.
function takeBit(bits: Uint32Array, slot: number): boolean {
  const word = bits[slot >> 5] ?? 0;
  const bit = 1 << (slot & 31);
  if ((word & bit) === 0) return false;
  bits[slot >> 5] = word & ~bit;
  return true;
}
