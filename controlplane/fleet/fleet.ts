/**
 * The fleet: which node runs which revision, since when, and who waits for it. It has no clock and no timer: its shell calls
 * `evaluate` when something changed and once a second while there are waits.
 */
import { epoch as makeEpoch, revisionZero } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { compareText } from "@weft/proto/address.ts";
import type { Ack, Failure } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Commit } from "../catalog/resource.ts";
import type { HeldRemoval } from "../mass-removal/mass-removal.ts";
import { ChoosabilityIndex } from "./choosability.ts";
import type { FleetEvent } from "./fleet-event.ts";
import { FleetNode } from "./fleet-node.ts";
import type { CommitSteps, FleetObserver, NodeConnection, NodeRef } from "./fleet-observer.ts";
import { nameOf } from "./fleet-observer.ts";
import { missingReason } from "./missing-reason.ts";
import { NodeTable } from "./node-table.ts";
import { ServiceChanges } from "./service-changes.ts";
import { Tally } from "./tally.ts";
import { Waits } from "./waits.ts";
import type { WaitAnswer, WaitAsked, WaitContext } from "./waits.ts";

/** Services that a commit event names. */
const servicesNamedMax = 16;

const statusChanged: FleetEvent = { kind: "status" };

export class Fleet implements FleetObserver {
  readonly table: NodeTable;
  readonly #index = new ChoosabilityIndex();
  readonly #changes = new ServiceChanges();
  readonly #waits = new Waits();
  readonly #listeners = new Set<(event: FleetEvent) => void>();
  #epoch: Epoch = makeEpoch(0, 0);
  #head: Revision = revisionZero;
  #isSynced = false;
  #heldRemoval: HeldRemoval | undefined;
  #tally: Tally | undefined;
  #nowMs: number;

  /** @param startedMs Unix milliseconds. */
  constructor(startedMs: number) {
    this.table = new NodeTable(startedMs);
    this.#nowMs = startedMs;
  }

  get epoch(): Epoch {
    return this.#epoch;
  }

  get head(): Revision {
    return this.#head;
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** What the source lacks and is still served; undefined: nothing is held back. */
  get heldRemoval(): HeldRemoval | undefined {
    return this.#heldRemoval;
  }

  get waitsOpen(): number {
    return this.#waits.size;
  }

  /** Unix milliseconds of the first end of a wait; undefined: none waits. */
  get nextDeadlineMs(): number | undefined {
    return this.#waits.nextDeadlineMs;
  }

  /** Calls come synchronously and must not call back into the fleet. @returns Ends it. */
  subscribe(listener: (event: FleetEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Why a node does not run a revision whole; undefined: it does. */
  whyMissing(name: string, revision: Revision, nowMs: number): string | undefined {
    const history = { index: this.#index, changes: this.#changes, head: this.#head };
    return missingReason(this.table.get(name), { revision, drained: undefined }, history, nowMs);
  }

  /** @returns Ends the wait without an answer; undefined if there are too many. */
  wait(asked: WaitAsked, nowMs: number): (() => void) | undefined {
    this.#nowMs = nowMs;
    const ended = (answer: WaitAnswer): void => {
      asked.listener.ended(answer);
      this.#emit({ kind: "answered", outcome: answer.outcome });
    };
    const listener = { noted: (note: string) => asked.listener.noted(note), ended };
    const cancel = this.#waits.start({ ...asked, listener }, this.#context(), nowMs);
    this.#emit({ kind: "asked" });
    return cancel;
  }

  /** Answers waits that are done or timed out, and forgets nodes that are long gone. */
  evaluate(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.table.forgetGone(nowMs)) this.#nodesChanged();
    this.#waits.evaluate(this.#context(), nowMs);
  }

  epochStarted(epoch: Epoch): void {
    this.#epoch = epoch;
    for (const node of this.table.nodes()) node.epochStarted();
    this.table.convergence.epochStarted();
    this.table.revisions.epochStarted();
    this.#nodesChanged();
    this.#waits.headChanged(this.#context(), this.#nowMs);
    this.#emit({ kind: "epoch", epoch });
  }

  nodesKnown(names: ReadonlySet<string> | undefined): void {
    this.table.known = names;
    this.#nodesChanged();
  }

  synced(): void {
    this.#isSynced = true;
    this.#nodesChanged();
    this.#waits.headChanged(this.#context(), this.#nowMs);
  }

  committed(commit: Commit, bytes: number, nowUs: number, steps: CommitSteps): void {
    this.#nowMs = nowUs / 1_000;
    const touched = this.#index.apply(commit);
    for (const service of touched.keys()) this.#changes.changed(service, commit.revision);
    this.#head = commit.revision;
    const { convergence, revisions } = this.table;
    const services = firstNames(touched);
    const { revision, puts, removals } = commit;
    revisions.committed({
      revision,
      puts: puts.length,
      removals: removals.length,
      bytes,
      services,
      committedAtUs: nowUs,
      steps,
      slots: convergence.slotsConnected(),
      connected: convergence.nodesConnected,
    });
    convergence.committed(revision, nowUs);
    this.#waits.committed(touched, this.#context(), this.#nowMs);
    this.#emit({ kind: "commit", commit, bytes, services, connected: convergence.nodesConnected, nowUs, steps });
  }

  flushed(revision: Revision, nowUs: number): void {
    this.table.revisions.flushed(revision, nowUs);
    this.#emit({ kind: "flushed", revision, nowUs });
  }

  connected(connection: NodeConnection, nowUs: number): NodeRef {
    const node = this.table.getOrAdd(connection.node);
    node.connected(connection, nowUs / 1_000);
    this.table.convergence.connected(node.slot);
    this.#tally = undefined;
    this.#emit({ kind: "connected", node, nowUs });
    return node;
  }

  sent(of: NodeRef, revision: Revision): void {
    this.#nodeOf(of)?.sent(revision);
    this.#emit(statusChanged);
  }

  acked(of: NodeRef, ack: Ack, roundTripUs: number | undefined, nowUs: number): void {
    const node = this.#nodeOf(of);
    if (node?.stream.kind !== "open") return;
    const { applied, failures, failuresTotal } = node;
    const isFirst = !node.stream.hasAcked;
    node.acked(ack, this.#head, roundTripUs, nowUs / 1_000);
    const { convergence, revisions } = this.table;
    const converged = convergence.acked(node.slot, applied, node.applied, nowUs);
    const hasAdvanced = node.applied > applied;
    if (hasAdvanced) revisions.acked(node.slot, node.applied, nowUs, ack.durations, node.failuresTotal);
    // Most acks answer a heartbeat and change nothing that a wait looks at.
    const isNew =
      hasAdvanced ||
      node.applied < applied ||
      isFirst ||
      failuresTotal !== node.failuresTotal ||
      !areSame(failures, node.failures);
    if (isNew) this.#tally = undefined;
    const committedAtUs = hasAdvanced ? convergence.committedAtUs(node.applied) : undefined;
    const commitToAckUs = committedAtUs === undefined ? undefined : nowUs - committedAtUs;
    this.#emit({ kind: "ack", node, ack, isNew, commitToAckUs, nowUs });
    for (const each of converged) this.#emit({ kind: "converged", converged: each });
  }

  held(of: NodeRef, reason: string | undefined): void {
    const node = this.#nodeOf(of);
    if (node?.stream.kind !== "open" || node.heldReason === reason) return;
    node.heldReason = reason;
    this.#nodesChanged();
  }

  removalHeld(removal: HeldRemoval | undefined): void {
    this.#heldRemoval = removal;
    this.#emit(statusChanged);
  }

  disconnected(of: NodeRef, instance: bigint, reason: string, nowUs: number): void {
    const node = this.#nodeOf(of);
    // The end of a stream that another has taken the place of says nothing about that one.
    if (node?.stream.kind !== "open" || node.stream.instance !== instance) return;
    node.disconnected(reason, nowUs / 1_000);
    this.table.convergence.disconnected(node.slot);
    this.#tally = undefined;
    this.#emit({ kind: "disconnected", node, reason, nowUs });
  }

  #nodeOf(of: NodeRef): FleetNode | undefined {
    return of instanceof FleetNode ? of : this.table.get(nameOf(of));
  }

  #context(): WaitContext {
    // Counting all nodes takes milliseconds where there are thousands: only when a wait asks.
    const tally = (): Tally => (this.#tally ??= new Tally(nodesOf(this.table)));
    return {
      epoch: this.#epoch,
      isSynced: this.#isSynced,
      history: { index: this.#index, changes: this.#changes, head: this.#head },
      table: this.table,
      get tally() {
        return tally();
      },
    };
  }

  #nodesChanged(): void {
    this.#tally = undefined;
    this.#emit(statusChanged);
  }

  #emit(event: FleetEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function* nodesOf(table: NodeTable): Generator<FleetNode | undefined> {
  for (const { node } of table.members()) yield node;
}

function areSame(a: readonly Failure[], b: readonly Failure[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  return a.every((failure, i) => {
    const other = b[i];
    return failure.service === other?.service && failure.category === other.category && failure.reason === other.reason;
  });
}

function firstNames(touched: ReadonlyMap<bigint, string>): readonly string[] {
  return [...touched.values()]
    .filter((name) => name !== "")
    .toSorted(compareText)
    .slice(0, servicesNamedMax);
}
