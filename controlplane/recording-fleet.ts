/** For tests: a fleet that only writes down what it is told, and refuses what would be a lie. */
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Commit } from "./catalog/resource.ts";
import type { HeldRemoval } from "./mass-removal/mass-removal.ts";
import { nameOf } from "./fleet/fleet-observer.ts";
import type { FleetObserver, NodeConnection, NodeRef } from "./fleet/fleet-observer.ts";

export interface RecordedNode {
  readonly connection: NodeConnection;
  sent: number;
  applied: number;
  roundTrips: number;
  left: string | undefined;
  held: string | undefined;
}

export class RecordingFleet implements FleetObserver {
  readonly epochs: Epoch[] = [];
  readonly commits: { readonly commit: Commit; readonly bytes: number }[] = [];
  readonly flushes: Revision[] = [];
  readonly nodes = new Map<string, RecordedNode>();
  /** "node reason" of every disconnection. */
  readonly departures: string[] = [];
  known: ReadonlySet<string> | undefined;
  isSynced = false;
  heldRemoval: HeldRemoval | undefined;

  epochStarted(epoch: Epoch): void {
    this.epochs.push(epoch);
    for (const node of this.nodes.values()) Object.assign(node, { sent: 0, applied: 0 });
  }

  nodesKnown(names: ReadonlySet<string> | undefined): void {
    this.known = names;
  }

  synced(): void {
    this.isSynced = true;
  }

  committed(commit: Commit, bytes: number): void {
    this.commits.push({ commit, bytes });
  }

  flushed(revision: Revision): void {
    this.flushes.push(revision);
  }

  connected(connection: NodeConnection): NodeRef {
    const present = this.nodes.get(connection.node);
    if (present !== undefined && present.left === undefined) throw new Error(`${connection.node} is connected twice`);
    this.nodes.set(connection.node, {
      connection,
      sent: 0,
      applied: 0,
      roundTrips: 0,
      left: undefined,
      held: undefined,
    });
    return connection.node;
  }

  sent(node: NodeRef, revision: Revision): void {
    const of = this.#connected(node);
    if (revision < of.sent) throw new Error(`${nameOf(node)}: sent went back from ${of.sent} to ${revision}`);
    of.sent = revision;
  }

  acked(node: NodeRef, ack: Ack, roundTripUs: number | undefined): void {
    const of = this.#connected(node);
    of.applied = Number(ack.revision);
    if (roundTripUs !== undefined) of.roundTrips++;
  }

  held(node: NodeRef, reason: string | undefined): void {
    this.#connected(node).held = reason;
  }

  removalHeld(removal: HeldRemoval | undefined): void {
    this.heldRemoval = removal;
  }

  disconnected(node: NodeRef, instance: bigint, reason: string): void {
    const of = this.#connected(node);
    if (of.connection.instance !== instance) throw new Error(`${nameOf(node)}: another instance left`);
    of.left = reason;
    this.departures.push(`${nameOf(node)} ${reason}`);
  }

  #connected(node: NodeRef): RecordedNode {
    const of = this.nodes.get(nameOf(node));
    if (of === undefined || of.left !== undefined) throw new Error(`${nameOf(node)} is not connected`);
    return of;
  }
}
