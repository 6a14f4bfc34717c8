/** What a worker's fan-out tells the fleet, which is in the main thread. What commits and sources tell it comes from there. */
import { toBinary } from "@bufbuild/protobuf";
import type { Revision } from "@weft/proto/cursor.ts";
import { AckSchema, VersionsSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { nameOf } from "../fleet/fleet-observer.ts";
import type { FleetObserver, NodeConnection, NodeRef } from "../fleet/fleet-observer.ts";
import type { Outbox } from "./outbox.ts";

export class OutboxFleet implements FleetObserver {
  readonly #outbox: Outbox;
  readonly #served = new Set<string>();
  #claim: number | undefined;
  #connections = 0;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  /** How many were told so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Whoever is connected in `enter` is whom this claim was granted for. */
  granted(claim: number, enter: () => void): void {
    this.#claim = claim;
    enter();
    this.#claim = undefined;
  }

  /** Nodes that are connected. */
  get served(): ReadonlySet<string> {
    return this.#served;
  }

  connected(connection: NodeConnection, nowUs: number): NodeRef {
    this.#connections++;
    this.#served.add(connection.node);
    const { versions: message, ...rest } = connection;
    const versions = message === undefined ? undefined : toBinary(VersionsSchema, message);
    this.#outbox.put({ kind: "connected", claim: this.#claim, connection: rest, versions, nowUs });
    return connection.node;
  }

  sent(node: NodeRef, revision: Revision): void {
    this.#outbox.put({ kind: "sent", node: nameOf(node), revision });
  }

  acked(node: NodeRef, ack: Ack, roundTripUs: number | undefined, nowUs: number): void {
    this.#outbox.put({ kind: "acked", node: nameOf(node), ack: toBinary(AckSchema, ack), roundTripUs, nowUs });
  }

  held(node: NodeRef, reason: string | undefined, isHeld: boolean): void {
    this.#outbox.put({ kind: "held", node: nameOf(node), reason, isHeld });
  }

  disconnected(of: NodeRef, instance: bigint, reason: string, nowUs: number): void {
    const node = nameOf(of);
    this.#served.delete(node);
    this.#outbox.put({ kind: "disconnected", node, instance, reason, nowUs });
  }

  epochStarted(): void {
    throw new Error("a worker renames no epoch: the main thread decides that");
  }

  nodesKnown(): void {
    throw new Error("a worker has no source");
  }

  synced(): void {
    throw new Error("a worker has no source");
  }

  removalHeld(): void {
    throw new Error("a worker has no source");
  }

  committed(): void {
    throw new Error("a worker commits nothing");
  }

  flushed(): void {
    throw new Error("a worker commits nothing");
  }
}
