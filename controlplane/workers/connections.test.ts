import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { epoch, revision, revisionZero } from "@weft/proto/cursor.ts";
import { AckSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { fanoutLimits } from "../fanout/fanout-limits.ts";
import { streamLimits } from "../fanout/stream-limits.ts";
import { RecordingFleet } from "../recording-fleet.ts";
import { Claims } from "./claims.ts";
import { Connections } from "./connections.ts";
import { SteadyEvents } from "./steady-events.ts";

/** The main thread's view of two workers, of which none does what it is asked. */
class World {
  nowMs = 2_000;
  readonly fleet = new RecordingFleet();
  readonly said: string[] = [];
  readonly claims: Claims;
  readonly connections: Connections;

  constructor() {
    this.claims = new Claims({
      epoch: () => epoch(1_000, 1),
      head: () => revision(9),
      limits: streamLimits,
      pace: fanoutLimits.pace,
      agentsRememberedMax: 10,
      now: () => this.nowMs,
      random: () => 0.5,
      answer: (worker, { claim }, answer) =>
        this.said.push(`${worker}.${claim} ${answer.kind} ${answer.kind === "granted" ? answer.sentBefore : ""}`),
      replace: () => undefined,
      rename: () => undefined,
      lost: (node, instance, reason) => {
        this.connections.lost(node);
        this.fleet.disconnected(node, instance, reason);
      },
    });
    this.connections = new Connections(this.claims, this.fleet);
  }

  ask(worker: number, claim: number): void {
    const [node, instance, identity] = ["n1", 1n, { kind: "anonymous" } as const];
    this.claims.ask(worker, { claim, node, instance, cursor: undefined, identity, peer: `p:${worker}` });
  }

  connected(worker: number, id: number, claim: number): boolean {
    const addresses = { addresses: [], nodePortAddresses: [], localAddresses: [], servesLocalClusterIps: false };
    const connection = { node: "n1", instance: 1n, peer: `p:${worker}`, applied: revisionZero, ...addresses };
    return this.connections.connected(
      worker,
      { kind: "connected", id, claim, connection, versions: undefined, nowUs: 0 },
      true,
    );
  }

  /** Everything that a worker can say of a connection. */
  tellAll(worker: number, id: number, to: number): void {
    const steady = new SteadyEvents();
    steady.sent(id, revision(to));
    const ack = create(AckSchema, { revision: BigInt(to) });
    steady.acked(id, ack, undefined, 0);
    this.connections.take(worker, { kind: "steady", numbers: steady.numbers });
    const bytes = toBinary(AckSchema, ack);
    this.connections.take(worker, { kind: "acked", id, ack: bytes, roundTripUs: 5, nowUs: 0 });
    this.connections.take(worker, { kind: "held", id, reason: undefined, isHeld: true });
  }
}

test("what a worker says of a connection is told to the fleet, and what was sent is known to the next one", () => {
  const of = new World();
  of.ask(1, 1);
  assert.ok(of.connected(1, 7, 1));
  of.tellAll(1, 7, 4);
  const node = of.fleet.nodes.get("n1");
  assert.deepEqual([node?.sent, node?.applied, node?.roundTrips], [4, 4, 1]);
  assert.deepEqual(of.connections.heldNodes, ["n1"]);
  of.connections.take(1, { kind: "disconnected", id: 7, instance: 1n, reason: "closed", nowUs: 0 });
  assert.deepEqual([of.fleet.departures, of.connections.heldNodes], [["n1 closed"], []]);
  of.ask(2, 1);
  assert.deepEqual(of.said, ["1.1 granted 0", "2.1 granted 4"]);
});

test("a node that was taken from a worker is another's: what the first one says later is of nobody", () => {
  const of = new World();
  of.ask(1, 1);
  of.connected(1, 7, 1);
  of.ask(2, 1);
  of.nowMs += 6_000;
  of.claims.tick();
  assert.deepEqual(of.fleet.departures, ["n1 replaced"]);
  of.tellAll(1, 7, 8);
  assert.ok(of.connected(2, 7, 1));
  of.tellAll(1, 7, 8);
  of.connections.take(1, { kind: "disconnected", id: 7, instance: 1n, reason: "closed", nowUs: 0 });
  assert.equal(of.connected(1, 8, 1), false);
  const node = of.fleet.nodes.get("n1");
  assert.deepEqual([node?.sent, node?.applied, node?.left, of.connections.heldNodes], [0, 0, undefined, []]);
  of.tellAll(2, 7, 3);
  assert.deepEqual([node?.sent, of.connections.heldNodes], [3, ["n1"]]);
});

test("the numbers of a worker that is started again begin anew", () => {
  const of = new World();
  of.ask(1, 1);
  of.connected(1, 1, 1);
  of.claims.workerEnded(1);
  of.tellAll(1, 1, 8);
  assert.deepEqual(of.fleet.departures, ["n1 worker-ended"]);
  of.ask(1, 1);
  assert.ok(of.connected(1, 1, 1));
  of.tellAll(1, 1, 2);
  assert.equal(of.fleet.nodes.get("n1")?.applied, 2);
});
