/**
 * The streams of agents as workers tell of them, and the fleet is told. A connection is known by its number from `connected` until it
 * ends or its worker loses the node: what comes later is of a stream that is none any more.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { revisionZero } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { AckSchema, VersionsSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { FleetObserver, NodeRef } from "../fleet/fleet-observer.ts";
import type { Claims, ConnectedStream } from "./claims.ts";
import { readSteadyEvents } from "./steady-events.ts";
import type { FromWorker } from "./worker-messages.ts";

interface Connection {
  readonly worker: number;
  readonly id: number;
  readonly name: string;
  readonly node: NodeRef;
  readonly stream: ConnectedStream;
}

type Connected = Extract<FromWorker, { kind: "connected" }>;
type Told = Extract<FromWorker, { kind: "steady" | "acked" | "held" | "disconnected" }>;

export class Connections {
  readonly #claims: Claims;
  readonly #fleet: FleetObserver;
  readonly #byNode = new Map<string, Connection>();
  /** By worker and number. */
  readonly #byId = new Map<number, Map<number, Connection>>();
  readonly #heldNodes = new Set<string>();

  constructor(claims: Claims, fleet: FleetObserver) {
    this.#claims = claims;
    this.#fleet = fleet;
  }

  /** As the fleet was told: whoever reads there that a node is held can confirm it. */
  get heldNodes(): readonly string[] {
    return [...this.#heldNodes];
  }

  /** `isOfEpoch`: the worker knew the name of the history. False: the node is not this worker's. */
  connected(worker: number, { id, claim, connection, versions: bytes, nowUs }: Connected, isOfEpoch: boolean): boolean {
    const name = connection.node;
    const stream = this.#claims.connected(worker, name, { ...connection, claim });
    if (stream === undefined) return false;
    const versions = bytes === undefined ? undefined : fromBinary(VersionsSchema, bytes);
    const applied = isOfEpoch ? connection.applied : revisionZero;
    const node = this.#fleet.connected({ ...connection, versions, applied }, nowUs);
    const of = { worker, id, name, node, stream };
    this.#byNode.set(name, of);
    const ofWorker = this.#byId.get(worker) ?? new Map<number, Connection>();
    this.#byId.set(worker, ofWorker.set(id, of));
    return true;
  }

  take(worker: number, event: Told): void {
    const connections = this.#byId.get(worker);
    if (connections === undefined) return;
    if (event.kind === "steady") {
      readSteadyEvents(event.numbers, {
        sent: (id, revision) => this.#sent(connections.get(id), revision),
        acked: (id, ack, roundTripUs, nowUs) => this.#acked(connections.get(id), ack, roundTripUs, nowUs),
      });
      return;
    }
    const of = connections.get(event.id);
    if (of === undefined) return;
    switch (event.kind) {
      case "acked":
        this.#acked(of, fromBinary(AckSchema, event.ack), event.roundTripUs, event.nowUs);
        return;
      case "held":
        if (event.isHeld) this.#heldNodes.add(of.name);
        else this.#heldNodes.delete(of.name);
        this.#fleet.held(of.node, event.reason, event.isHeld);
        return;
      case "disconnected":
        this.lost(of.name);
        // First: whoever waits for the node is connected after this.
        this.#fleet.disconnected(of.node, event.instance, event.reason, event.nowUs);
        this.#claims.disconnected(worker, of.name);
    }
  }

  /** Nothing more is heard of the stream of this node. */
  lost(node: string): void {
    const of = this.#byNode.get(node);
    if (of === undefined) return;
    this.#byNode.delete(node);
    this.#heldNodes.delete(node);
    this.#byId.get(of.worker)?.delete(of.id);
  }

  #sent(of: Connection | undefined, revision: Revision): void {
    if (of === undefined) return;
    if (revision > of.stream.sent) of.stream.sent = revision;
    this.#fleet.sent(of.node, revision);
  }

  #acked(of: Connection | undefined, ack: Ack, roundTripUs: number | undefined, nowUs: number): void {
    if (of !== undefined) this.#fleet.acked(of.node, ack, roundTripUs, nowUs);
  }
}
