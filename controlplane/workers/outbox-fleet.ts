/** What a worker's fan-out tells the fleet, which is in the main thread. What commits and sources tell it comes from there. */
import { toBinary } from "@bufbuild/protobuf";
import type { Revision } from "@weft/proto/cursor.ts";
import { AckSchema, VersionsSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { nameOf } from "../fleet/fleet-observer.ts";
import type { FleetObserver, NodeConnection, NodeRef } from "../fleet/fleet-observer.ts";
import type { Outbox } from "./outbox.ts";
import { isSteadyAck } from "./steady-events.ts";

/** A node as this worker's fan-out knows it. */
class Connection {
  readonly name: string;
  /** Unique within the worker. */
  readonly id: number;

  constructor(name: string, id: number) {
    this.name = name;
    this.id = id;
  }
}

export class OutboxFleet implements FleetObserver {
  readonly #outbox: Outbox;
  readonly #served = new Map<string, Connection>();
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
  get served(): Pick<ReadonlySet<string>, "has" | "size"> {
    return this.#served;
  }

  connected(connection: NodeConnection, nowUs: number): NodeRef {
    const id = ++this.#connections;
    const served = new Connection(connection.node, id);
    this.#served.set(connection.node, served);
    const { versions: message, ...rest } = connection;
    const versions = message === undefined ? undefined : toBinary(VersionsSchema, message);
    this.#outbox.put({ kind: "connected", id, claim: this.#claim, connection: rest, versions, nowUs });
    return served;
  }

  sent(node: NodeRef, revision: Revision): void {
    this.#outbox.sent(this.#of(node).id, revision);
  }

  acked(node: NodeRef, ack: Ack, roundTripUs: number | undefined, nowUs: number): void {
    const { id } = this.#of(node);
    if (isSteadyAck(ack)) this.#outbox.acked(id, ack, roundTripUs, nowUs);
    else this.#outbox.put({ kind: "acked", id, ack: toBinary(AckSchema, ack), roundTripUs, nowUs });
  }

  held(node: NodeRef, reason: string | undefined, isHeld: boolean): void {
    this.#outbox.put({ kind: "held", id: this.#of(node).id, reason, isHeld });
  }

  disconnected(node: NodeRef, instance: bigint, reason: string, nowUs: number): void {
    const { id, name } = this.#of(node);
    this.#served.delete(name);
    this.#outbox.put({ kind: "disconnected", id, instance, reason, nowUs });
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

  #of(node: NodeRef): Connection {
    const served = node instanceof Connection ? node : this.#served.get(nameOf(node));
    if (served === undefined) throw new Error(`node ${nameOf(node)} is not connected`);
    return served;
  }
}
