/** What is known of one node: its stream, its cursors, and since when it fails on which service. */
import type { Address } from "@weft/proto/address.ts";
import { addressFromBytes } from "@weft/proto/address.ts";
import { revision, revisionZero } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { FailureCategory } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack, Failure, NodeAddresses, Versions } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { resourceId } from "@weft/proto/ids.ts";
import type { NodeConnection } from "./fleet-observer.ts";

export type NodeStream =
  | { readonly kind: "never" }
  /** `hasAcked`: on this stream. What a node ran before it reconnected does not count. */
  | { readonly kind: "open"; readonly instance: bigint; readonly peer: string; hasAcked: boolean }
  | { readonly kind: "closed"; readonly atMs: number; readonly reason: string };

/** A failure that holds waits. */
export interface BlockingFailure {
  readonly failure: Failure;
  /** Id of the failed service; undefined: the whole node. */
  readonly service: bigint | undefined;
  /** Newest revision at which the node was known to run this service well; 0: none in this epoch. */
  readonly goodAt: Revision;
}

// One of each for all nodes: what an ack leaves behind is little then.
const noFailures: readonly Failure[] = [];
const none: readonly BlockingFailure[] = [];

export class FleetNode {
  readonly name: string;
  /** Its place in the bit sets of the convergence. */
  readonly slot: number;
  stream: NodeStream = { kind: "never" };
  /** Newest revision handed to its socket, of the current epoch. */
  received: Revision = revisionZero;
  /** Newest revision it acked, of the current epoch. */
  applied: Revision = revisionZero;
  failures = noFailures;
  failuresTotal = 0;
  blocking: readonly BlockingFailure[] = [];
  /** Why the control plane gives it no state; undefined: it does. */
  heldReason: string | undefined;
  versions: Versions | undefined;
  /** Undefined: never reported. */
  addresses: readonly Address[] | undefined;
  nodePortAddresses: readonly Address[] = [];
  localAddresses: readonly Address[] = [];
  servesLocalClusterIps = false;
  roundTripUs: number | undefined;
  digest = 0n;
  /** Unix milliseconds of the last message; 0: never. */
  seenMs = 0;
  // Newest ack that proves that no service but those in `#failing` failed.
  #goodAt: Revision = revisionZero;
  // Undefined: never one.
  #failing: Map<bigint, Revision> | undefined;

  constructor(name: string, slot: number) {
    this.name = name;
    this.slot = slot;
  }

  /** Failures that it has but did not list: of any service. */
  get failuresUnlisted(): number {
    return Math.max(0, this.failuresTotal - this.failures.length);
  }

  /** Runs what it acked, whole. */
  get isClean(): boolean {
    return (
      this.stream.kind === "open" && this.stream.hasAcked && this.blocking.length === 0 && this.failuresUnlisted === 0
    );
  }

  connected(connection: NodeConnection, nowMs: number): void {
    this.stream = { kind: "open", instance: connection.instance, peer: connection.peer, hasAcked: false };
    this.#retreatTo(connection.applied);
    this.received = connection.applied;
    this.versions = connection.versions;
    this.addresses = connection.addresses;
    this.nodePortAddresses = connection.nodePortAddresses;
    this.localAddresses = connection.localAddresses;
    this.servesLocalClusterIps = connection.servesLocalClusterIps;
    this.roundTripUs = undefined;
    this.heldReason = undefined;
    this.seenMs = nowMs;
  }

  sent(to: Revision): void {
    if (to > this.received) this.received = to;
  }

  /** `head` bounds what can be acked. */
  acked(ack: Ack, head: Revision, roundTripUs: number | undefined, nowMs: number): void {
    if (this.stream.kind === "open") this.stream.hasAcked = true;
    const applied = revision(Math.min(Number(ack.revision), head));
    if (applied < this.applied) this.#retreatTo(applied);
    this.applied = applied;
    this.sent(applied);
    this.failures = ack.failures.length === 0 ? noFailures : ack.failures;
    this.failuresTotal = Math.max(ack.failuresTotal, ack.failures.length);
    this.#judge();
    if (ack.addresses !== undefined) this.#reported(ack.addresses);
    if (roundTripUs !== undefined) this.roundTripUs = roundTripUs;
    this.digest = ack.digest;
    this.seenMs = nowMs;
  }

  disconnected(reason: string, nowMs: number): void {
    this.stream = { kind: "closed", atMs: nowMs, reason };
    this.heldReason = undefined;
    this.roundTripUs = undefined;
  }

  /** No cursor of an earlier epoch counts. */
  epochStarted(): void {
    this.#retreatTo(revisionZero);
    this.received = revisionZero;
    if (this.stream.kind === "open") this.stream.hasAcked = false;
  }

  #retreatTo(to: Revision): void {
    if (this.applied > to) this.applied = to;
    if (this.#goodAt > to) this.#goodAt = to;
    if (this.#failing === undefined) return;
    for (const [service, goodAt] of this.#failing) if (goodAt > to) this.#failing.set(service, to);
    this.blocking = this.blocking.map((entry) => (entry.goodAt > to ? { ...entry, goodAt: to } : entry));
  }

  #judge(): void {
    // Almost every ack of almost every node.
    if (this.failuresTotal === 0 && this.#failing === undefined) {
      this.#goodAt = this.applied;
      this.blocking = none;
      return;
    }
    const failing = (this.#failing ??= new Map());
    const blocking: BlockingFailure[] = [];
    const listed = new Set<bigint>();
    let isComplete = this.failuresUnlisted === 0;
    for (const failure of this.failures) {
      if (isNotice(failure)) continue;
      if (failure.service === "") {
        isComplete = false;
        blocking.push({ failure, service: undefined, goodAt: revisionZero });
        continue;
      }
      const service = resourceId("service", failure.service);
      listed.add(service);
      const goodAt = failing.get(service) ?? this.#goodAt;
      failing.set(service, goodAt);
      blocking.push({ failure, service, goodAt });
    }
    if (isComplete) {
      for (const service of failing.keys()) if (!listed.has(service)) failing.delete(service);
      if (failing.size === 0) this.#failing = undefined;
      this.#goodAt = this.applied;
    }
    this.blocking = blocking;
  }

  #reported(addresses: NodeAddresses): void {
    this.addresses = addresses.addresses.map(addressFromBytes);
    this.nodePortAddresses = addresses.nodePortAddresses.map(addressFromBytes);
    this.localAddresses = addresses.localAddresses.map(addressFromBytes);
    this.servesLocalClusterIps = addresses.servesLocalClusterIps;
  }
}

/** `conflict` and `unsupported` are notices: they hold no wait. */
function isNotice(failure: Failure): boolean {
  return failure.category === FailureCategory.CONFLICT || failure.category === FailureCategory.UNSUPPORTED;
}
