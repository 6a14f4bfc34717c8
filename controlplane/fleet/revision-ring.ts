/**
 * The last revisions: how each came to be, and when each node acked it. Bounded in revisions and in acks; a revision of which an ack
 * had to be forgotten is forgotten whole, so what is remembered is complete.
 *
 * An ack is seven numbers in columns, written once: nothing is allocated for it, and nothing is worked out before somebody asks.
 */
import type { Revision } from "@weft/proto/cursor.ts";
import type { CommitSteps } from "./fleet-observer.ts";

export const revisionsRememberedMax = 256;
/** 44 bytes each, made as they are needed: 6 MB, the last 26 revisions of 5,000 nodes. */
export const acksRememberedMax = 131_072;
const acksFirst = 1_024;

export interface RememberedCommit {
  readonly revision: Revision;
  readonly puts: number;
  readonly removals: number;
  readonly bytes: number;
  /** Names of services touched, sorted, at most 16. */
  readonly services: readonly string[];
  /** Unix microseconds. */
  readonly committedAtUs: number;
  readonly steps: CommitSteps;
  /** A bit per slot of the nodes that were connected. */
  readonly slots: Uint32Array;
  readonly connected: number;
}

/** Microseconds; as an agent measured one round. */
export interface AckDurations {
  readonly receivedToActiveUs: number;
  readonly planUs: number;
  readonly stageUs: number;
  readonly persistUs: number;
}

export interface RememberedAck {
  readonly slot: number;
  /** Of the ack; larger than the one asked for if the node took several at once. */
  readonly revision: Revision;
  /** Unix microseconds. */
  readonly ackedAtUs: number;
  readonly durations: AckDurations;
  readonly failuresTotal: number;
  /** The node was connected at the commit. */
  readonly wasConnected: boolean;
}

export interface RememberedRevision {
  readonly commit: RememberedCommit;
  /** Unix microseconds; undefined: some writes are not on their way yet. */
  readonly flushedAtUs: number | undefined;
  /** The first ack of each node that covers the revision, in the order in which they came. */
  readonly acks: readonly RememberedAck[];
  /** Slots of nodes that were connected at the commit and have not acked it. */
  readonly missing: readonly number[];
}

const noDurations: AckDurations = { receivedToActiveUs: 0, planUs: 0, stageUs: 0, persistUs: 0 };

export class RevisionRing {
  // Consecutive, ascending.
  readonly #commits: RememberedCommit[] = [];
  readonly #flushedAtUs = new Map<Revision, number>();
  readonly #acksMax: number;
  #acks: Columns;
  // Of the oldest ack, and how many there are.
  #first = 0;
  #count = 0;

  constructor(acksMax = acksRememberedMax) {
    this.#acksMax = acksMax;
    this.#acks = makeColumns(Math.min(acksFirst, acksMax));
  }

  /** The revisions that are remembered; undefined: none. */
  get range(): { readonly first: Revision; readonly last: Revision } | undefined {
    const first = this.#commits[0]?.revision;
    const last = this.#commits.at(-1)?.revision;
    return first === undefined || last === undefined ? undefined : { first, last };
  }

  epochStarted(): void {
    this.#commits.length = 0;
    this.#flushedAtUs.clear();
    this.#count = 0;
  }

  committed(commit: RememberedCommit): void {
    this.#commits.push(commit);
    if (this.#commits.length > revisionsRememberedMax) this.#forgetFirst();
  }

  flushed(revision: Revision, nowUs: number): void {
    if (this.#commitOf(revision) !== undefined) this.#flushedAtUs.set(revision, nowUs);
  }

  /** A node acked a revision that it had not acked. */
  acked(
    slot: number,
    revision: Revision,
    nowUs: number,
    durations: AckDurations = noDurations,
    failuresTotal = 0,
  ): void {
    if (this.#count === this.#acks.slot.length && !this.#grow()) this.#forgetOldestAck();
    const acks = this.#acks;
    const at = (this.#first + this.#count) % acks.slot.length;
    this.#count++;
    acks.slot[at] = slot;
    acks.revision[at] = revision;
    acks.ackedAtUs[at] = nowUs;
    acks.receivedToActiveUs[at] = durations.receivedToActiveUs;
    acks.planUs[at] = durations.planUs;
    acks.stageUs[at] = durations.stageUs;
    acks.persistUs[at] = durations.persistUs;
    acks.failuresTotal[at] = failuresTotal;
  }

  /** The slot will belong to another node. */
  forgotten(slot: number): void {
    for (const { slots } of this.#commits) slots[slot >> 5] = (slots[slot >> 5] ?? 0) & ~(1 << (slot & 31));
    // Revision 0 is never asked for.
    for (const at of this.#places()) if (this.#acks.slot[at] === slot) this.#acks.revision[at] = 0;
  }

  /** 32 hex digits; undefined: not sampled, or not remembered. */
  traceIdOf(revision: Revision): string | undefined {
    return this.#commitOf(revision)?.steps.traceId;
  }

  /** Undefined: not remembered. */
  read(revision: Revision): RememberedRevision | undefined {
    const commit = this.#commitOf(revision);
    if (commit === undefined) return undefined;
    const outstanding = commit.slots.slice();
    const seen = new Set<number>();
    const acks: RememberedAck[] = [];
    const columns = this.#acks;
    for (const at of this.#places()) {
      const of = columns.revision[at] ?? 0;
      const slot = columns.slot[at] ?? 0;
      if (of < revision || seen.has(slot)) continue;
      seen.add(slot);
      const word = outstanding[slot >> 5] ?? 0;
      const bit = 1 << (slot & 31);
      outstanding[slot >> 5] = word & ~bit;
      acks.push({
        slot,
        revision: of as Revision,
        ackedAtUs: columns.ackedAtUs[at] ?? 0,
        durations: {
          receivedToActiveUs: columns.receivedToActiveUs[at] ?? 0,
          planUs: columns.planUs[at] ?? 0,
          stageUs: columns.stageUs[at] ?? 0,
          persistUs: columns.persistUs[at] ?? 0,
        },
        failuresTotal: columns.failuresTotal[at] ?? 0,
        wasConnected: (word & bit) !== 0,
      });
    }
    return { commit, flushedAtUs: this.#flushedAtUs.get(revision), acks, missing: slotsOf(outstanding) };
  }

  #commitOf(revision: Revision): RememberedCommit | undefined {
    return this.#commits[revision - (this.#commits[0]?.revision ?? 0)];
  }

  *#places(): Generator<number> {
    const length = this.#acks.slot.length;
    for (let i = 0; i < this.#count; i++) yield (this.#first + i) % length;
  }

  // False: it is as large as it may be.
  #grow(): boolean {
    const before = this.#acks;
    const length = before.slot.length;
    if (length >= this.#acksMax) return false;
    const after = makeColumns(Math.min(this.#acksMax, length * 2));
    for (const name of columnNames) {
      after[name].set(before[name].subarray(this.#first));
      after[name].set(before[name].subarray(0, this.#first), length - this.#first);
    }
    this.#acks = after;
    this.#first = 0;
    return true;
  }

  #forgetOldestAck(): void {
    const of = this.#acks.revision[this.#first] ?? 0;
    this.#first = (this.#first + 1) % this.#acks.slot.length;
    this.#count--;
    while ((this.#commits[0]?.revision ?? Infinity) <= of) this.#forgetFirst();
  }

  #forgetFirst(): void {
    const commit = this.#commits.shift();
    if (commit === undefined) return;
    this.#flushedAtUs.delete(commit.revision);
    // Acks of what is forgotten are of no use to what is remembered.
    while (this.#count > 0 && (this.#acks.revision[this.#first] ?? 0) <= commit.revision) {
      this.#first = (this.#first + 1) % this.#acks.slot.length;
      this.#count--;
    }
  }
}

type Columns = ReturnType<typeof makeColumns>;

const columnNames = [
  "slot",
  "revision",
  "ackedAtUs",
  "receivedToActiveUs",
  "planUs",
  "stageUs",
  "persistUs",
  "failuresTotal",
] as const satisfies readonly (keyof Columns)[];

function makeColumns(length: number) {
  return {
    slot: new Uint32Array(length),
    revision: new Float64Array(length),
    ackedAtUs: new Float64Array(length),
    receivedToActiveUs: new Uint32Array(length),
    planUs: new Uint32Array(length),
    stageUs: new Uint32Array(length),
    persistUs: new Uint32Array(length),
    failuresTotal: new Uint32Array(length),
  };
}

function slotsOf(bits: Uint32Array): readonly number[] {
  const slots: number[] = [];
  for (const [i, word] of bits.entries()) {
    for (let rest = word; rest !== 0; rest &= rest - 1) slots.push(i * 32 + 31 - Math.clz32(rest & -rest));
  }
  return slots;
}
