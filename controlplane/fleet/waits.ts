/** All waits that are open. Bounded in number; the caller bounds each in time. */
import { revisionZero } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { compareText } from "@weft/proto/address.ts";
import { missingReason } from "./missing-reason.ts";
import type { FleetHistory, Needed } from "./missing-reason.ts";
import type { NodeTable } from "./node-table.ts";
import { nodesNeeded } from "./quorum.ts";
import type { Quorum } from "./quorum.ts";
import type { Tally } from "./tally.ts";
import { startWait, stepWait } from "./wait.ts";
import type { Wait, WaitEvent, WaitTarget } from "./wait.ts";

/** Waits at a time: one per pod that is being drained, and some people. */
export const waitsMax = 4_096;
/** Missing nodes that an answer lists; `have` and `need` say how many there are. */
const missingListedMax = 10_000;

export interface Missing {
  readonly node: string;
  readonly applied: Revision;
  readonly reason: string;
}

export interface WaitAnswer {
  readonly outcome: "done" | "timeout" | "epoch-ended";
  readonly have: number;
  readonly need: number;
  /** By name; empty if every node has it. */
  readonly missing: readonly Missing[];
  readonly notes: readonly string[];
}

export interface WaitListener {
  noted(note: string): void;
  /** Once, and nothing after it. */
  ended(answer: WaitAnswer): void;
}

export interface WaitAsked {
  readonly target: WaitTarget;
  readonly quorum: Quorum;
  /** Unix milliseconds. */
  readonly deadlineMs: number;
  readonly listener: WaitListener;
}

interface Open {
  readonly asked: WaitAsked;
  wait: Wait;
}

/** What waits look at. */
export interface WaitContext {
  readonly epoch: Epoch;
  readonly isSynced: boolean;
  readonly history: FleetHistory;
  readonly table: NodeTable;
  readonly tally: Tally;
}

export class Waits {
  readonly #open = new Set<Open>();

  get size(): number {
    return this.#open.size;
  }

  /** The first deadline, unix milliseconds; undefined: none. */
  get nextDeadlineMs(): number | undefined {
    let next: number | undefined;
    for (const { wait } of this.#open) if (next === undefined || wait.deadlineMs < next) next = wait.deadlineMs;
    return next;
  }

  /** @returns Ends the wait without an answer; undefined if there are too many. */
  start(asked: WaitAsked, context: WaitContext, nowMs: number): (() => void) | undefined {
    if (this.#open.size >= waitsMax) return undefined;
    const open: Open = { asked, wait: startWait(asked.target, context.epoch, asked.deadlineMs) };
    this.#open.add(open);
    this.#step(open, headOf(open.wait, context), context, nowMs);
    this.#count(open, context, nowMs);
    return () => this.#open.delete(open);
  }

  /** The epoch or *synced* changed. */
  headChanged(context: WaitContext, nowMs: number): void {
    for (const open of this.#open) this.#step(open, headOf(open.wait, context), context, nowMs);
  }

  /** Must be told of every commit: a backend that could be chosen in one revision only starts a wait over. */
  committed(touched: ReadonlyMap<bigint, string>, context: WaitContext, nowMs: number): void {
    for (const open of this.#open) {
      const { target, state } = open.wait;
      if (target.kind === "revision") continue;
      // Once it is drained, only a service that holds it can choose it again.
      const { index } = context.history;
      const isConcerned = target.backends.some((backend) =>
        index
          .holders(backend)
          .values()
          .some((id) => touched.has(id)),
      );
      if (state.kind !== "counting" || isConcerned) this.#step(open, headOf(open.wait, context), context, nowMs);
    }
  }

  /** Ends what is done or timed out. */
  evaluate(context: WaitContext, nowMs: number): void {
    for (const open of this.#open) {
      this.#count(open, context, nowMs);
      this.#step(open, { kind: "clock" }, context, nowMs);
    }
  }

  #count(open: Open, context: WaitContext, nowMs: number): void {
    const { state } = open.wait;
    if (state.kind !== "counting") return;
    const count = countNodes(neededOf(open.wait), open.asked.quorum, context, nowMs);
    const blocked = context.table.blocked(nowMs);
    this.#step(open, { kind: "count", needed: state.needed, ...count, blocked }, context, nowMs);
  }

  #step(open: Open, event: WaitEvent, context: WaitContext, nowMs: number): void {
    const before = open.wait;
    const after = stepWait(before, event, nowMs);
    if (after === before) return;
    open.wait = after;
    for (const note of after.notes.slice(before.notes.length)) open.asked.listener.noted(note);
    if (after.state.kind !== "ended" || before.state.kind === "ended") return;
    this.#open.delete(open);
    // Revisions of an ended epoch run nowhere.
    const needed = after.state.outcome === "epoch-ended" ? undefined : neededOf(before);
    open.asked.listener.ended({
      outcome: after.state.outcome,
      ...countNodes(needed, open.asked.quorum, context, nowMs),
      missing: listMissing(needed, before, context, nowMs),
      notes: after.notes,
    });
  }
}

function headOf(wait: Wait, { epoch, isSynced, history }: WaitContext): WaitEvent {
  const { target } = wait;
  const choosability = target.kind === "drained" ? target.backends.map((backend) => history.index.of(backend)) : [];
  return { kind: "head", epoch, revision: history.head, isSynced, choosability };
}

function countNodes(
  needed: Needed | undefined,
  quorum: Quorum,
  { tally, history }: WaitContext,
  nowMs: number,
): { readonly have: number; readonly need: number } {
  return {
    have: needed === undefined ? 0 : tally.have(needed, history, nowMs),
    need: nodesNeeded(quorum, tally.total),
  };
}

// Undefined: nothing that a node could run is enough.
function neededOf({ state, target }: Wait): Needed | undefined {
  if (state.kind !== "counting") return undefined;
  return { revision: state.needed, drained: target.kind === "drained" ? target.backends : undefined };
}

function listMissing(
  needed: Needed | undefined,
  wait: Wait,
  { table, history }: WaitContext,
  nowMs: number,
): readonly Missing[] {
  const missing: Missing[] = [];
  for (const { name, node } of table.members()) {
    const reason = needed === undefined ? whyNothingCounts(wait) : missingReason(node, needed, history, nowMs);
    if (reason !== undefined) missing.push({ node: name, applied: node?.applied ?? revisionZero, reason });
  }
  return missing.toSorted((a, b) => compareText(a.node, b.node)).slice(0, missingListedMax);
}

function whyNothingCounts({ state }: Wait): string {
  if (state.kind === "unsynced") return "the source is not synced";
  return state.kind === "choosable" ? state.reason : "the epoch ended";
}
