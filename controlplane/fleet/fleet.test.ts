import assert from "node:assert/strict";
import { test } from "node:test";
import { epoch } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { fleetStatus } from "./testing-status.ts";
import { Fleet } from "./fleet.ts";
import { nodeSeenMs, settleMs } from "./node-table.ts";
import { ackOf, address, backendResource, Commits, serviceResource, stepsAt } from "./testing-resources.ts";
import type { AckSpec } from "./testing-resources.ts";
import type { WaitAnswer } from "./waits.ts";

const startedMs = 1_000_000;
const at = (revision: number): Revision => revision as Revision;

/** A fleet with a clock of its own. */
class Story {
  readonly fleet = new Fleet(startedMs);
  readonly commits = new Commits();
  nowMs = startedMs;

  constructor(known: readonly string[] | undefined) {
    this.fleet.epochStarted(epoch(1, 1));
    this.fleet.nodesKnown(known === undefined ? undefined : new Set(known));
    this.fleet.synced();
  }

  commit(...of: Parameters<Commits["commit"]>): this {
    this.fleet.committed(this.commits.commit(...of), 100, this.nowMs * 1_000, stepsAt(this.nowMs * 1_000));
    return this;
  }

  connect(node: string, applied = 0, instance = 1n): this {
    const connection = {
      node,
      instance,
      peer: "10.9.9.9:1",
      versions: undefined,
      addresses: [],
      nodePortAddresses: [],
      localAddresses: [],
      servesLocalClusterIps: false,
    };
    this.fleet.connected({ ...connection, applied: at(applied) }, this.nowMs * 1_000);
    return this;
  }

  ack(node: string, spec: AckSpec, roundTripUs?: number): this {
    this.fleet.acked(node, ackOf(spec), roundTripUs, this.nowMs * 1_000);
    return this;
  }

  leave(node: string, instance = 1n): this {
    this.fleet.disconnected(node, instance, "closed", this.nowMs * 1_000);
    return this;
  }

  pass(ms: number): this {
    this.nowMs += ms;
    this.fleet.evaluate(this.nowMs);
    return this;
  }

  /** The answer to a wait that gives up at once. */
  ask(target: number | string): WaitAnswer {
    let answer: WaitAnswer | undefined;
    const ended = (given: WaitAnswer): void => void (answer = given);
    this.fleet.wait(
      {
        target:
          typeof target === "number"
            ? { kind: "revision", epoch: this.fleet.epoch, revision: at(target) }
            : { kind: "drained", backends: [{ address: address(target), port: 80 }] },
        quorum: { kind: "percent", percent: 100 },
        deadlineMs: this.nowMs,
        listener: { noted: () => undefined, ended },
      },
      this.nowMs,
    );
    this.fleet.evaluate(this.nowMs);
    assert.ok(answer !== undefined);
    return answer;
  }

  reasons(target: number | string): readonly string[] {
    return this.ask(target).missing.map(({ node, reason }) => `${node}: ${reason}`);
  }
}

const web = serviceResource({ service: "a/web" });
const other = serviceResource({ service: "b/other" });
const one = { of: "a/web", address: "10.0.0.1" };

test("every way to be missing has its reason", () => {
  const story = new Story(["gone", "late", "never", "silent", "well"]).commit([web]).commit([other]);
  for (const node of ["gone", "late", "silent", "well"]) story.connect(node);
  story.ack("gone", { revision: 2 }).ack("late", { revision: 1 }).ack("well", { revision: 2 });
  story.leave("gone").pass(12_000);
  const { outcome, have, need, missing } = story.ask(2);
  assert.deepEqual([outcome, have, need], ["timeout", 1, 5]);
  assert.deepEqual(
    missing.map(({ node, applied, reason }) => [node, applied, reason]),
    [
      ["gone", 2, "disconnected 12 s ago"],
      ["late", 1, "applied 1 of 2"],
      ["never", 0, "never connected"],
      ["silent", 0, "connected, has not acked yet"],
    ],
  );
});

test("a disconnected node is missing until its Node object is deleted", () => {
  const story = new Story(["n1", "n2"]).commit([web]).connect("n1").connect("n2");
  story.ack("n1", { revision: 1 }).ack("n2", { revision: 1 }).leave("n2");
  assert.equal(story.ask(1).outcome, "timeout");
  story.pass(nodeSeenMs * 3);
  assert.equal(story.ask(1).outcome, "timeout");
  story.fleet.nodesKnown(new Set(["n1"]));
  assert.equal(story.ask(1).outcome, "done");
});

test("without Node objects a node counts for 10 minutes after it left, and nothing completes in the first 30 s", () => {
  const story = new Story(undefined).commit([web]).connect("n1").connect("n2");
  story.ack("n1", { revision: 1 }).ack("n2", { revision: 1 });
  assert.equal(story.ask(1).outcome, "timeout");
  story.pass(settleMs);
  assert.equal(story.ask(1).outcome, "done");
  story.leave("n2").pass(nodeSeenMs - 1);
  assert.deepEqual(story.reasons(1), ["n2: disconnected 10 min ago"]);
  story.pass(1);
  assert.equal(story.ask(1).outcome, "done");
});

test("with no node known nothing completes", () => {
  for (const known of [undefined, []]) {
    const answer = new Story(known).commit([web]).pass(settleMs).ask(1);
    assert.deepEqual([answer.outcome, answer.have, answer.need], ["timeout", 0, 0]);
    assert.match(answer.notes[0] ?? "", /^no node is known/);
  }
});

test("the late end of another stream does not end the one that is open", () => {
  const story = new Story(["n1"]).commit([web]).connect("n1", 0, 1n).connect("n1", 0, 2n);
  story.ack("n1", { revision: 1 }).leave("n1", 1n);
  assert.equal(story.ask(1).outcome, "done");
  story.leave("n1", 2n);
  assert.equal(story.ask(1).outcome, "timeout");
});

test("a node that reconnects counts again when it acks, not before", () => {
  const story = new Story(["n1"]).commit([web]).connect("n1").ack("n1", { revision: 1 });
  story.leave("n1").connect("n1", 1);
  assert.deepEqual(story.reasons(1), ["n1: connected, has not acked yet"]);
  assert.equal(story.ack("n1", { revision: 1 }).ask(1).outcome, "done");
});

test("a node that lost its state is judged by what it runs now", () => {
  // It ran 2 well, fell back to 1 and failed there; what web became in 2 it never ran again.
  const story = new Story(["n1"]).commit([other]).commit([web]).connect("n1").ack("n1", { revision: 2 });
  story.ack("n1", { revision: 1, failed: ["a/web"] }).ack("n1", { revision: 2, failed: ["a/web"] });
  assert.deepEqual(story.reasons(2), ["n1: failed a/web: capacity: the map is full"]);
});

test("a failure of a service that did not change since it ran well holds no wait for a revision", () => {
  const story = new Story(["n1"]).commit([web, other]).connect("n1").ack("n1", { revision: 1 }).commit([other]);
  assert.equal(story.ack("n1", { revision: 2, failed: ["a/web"] }).ask(2).outcome, "done");
  assert.deepEqual(
    story
      .commit([web])
      .ack("n1", { revision: 3, failed: ["a/web"] })
      .reasons(3),
    ["n1: failed a/web: capacity: the map is full"],
  );
  assert.equal(story.ask(2).outcome, "done");
});

test("a node that failed to take a backend out is missing, though no service holds it any more", () => {
  const story = new Story(["n1"])
    .commit([web, other, backendResource(one)])
    .connect("n1")
    .ack("n1", { revision: 1 });
  story.commit([], [backendResource(one)]).ack("n1", { revision: 2, failed: ["a/web"] });
  assert.deepEqual(story.reasons("10.0.0.1"), ["n1: failed a/web: capacity: the map is full"]);
  assert.equal(story.ack("n1", { revision: 2, failed: ["b/other"] }).ask("10.0.0.1").outcome, "done");
});

test("an ack of more than the head is an ack of the head", () => {
  const story = new Story(["n1"]).commit([web]).connect("n1").ack("n1", { revision: 9 });
  assert.equal(story.fleet.table.get("n1")?.applied, 1);
});

test("nothing is known of a new epoch before it is acked", () => {
  const story = new Story(["n1"]).commit([web]).connect("n1").ack("n1", { revision: 1 });
  story.fleet.epochStarted(epoch(2, 2));
  assert.deepEqual(story.reasons(1), ["n1: connected, has not acked yet"]);
  assert.equal(fleetStatus(story.fleet, story.nowMs).nodes[0]?.applied, 0n);
});

test("status lists every node by name, with what is known of it", () => {
  const story = new Story(["b", "never"]).commit([web]).connect("c").connect("b", 0);
  story.ack("b", { revision: 1, failed: ["a/web"], unlisted: 3 }, 1_234);
  story.fleet.sent("c", at(1));
  const status = fleetStatus(story.fleet, story.nowMs);
  assert.deepEqual(
    status.nodes.map((node) => [
      node.node,
      node.connected,
      node.received,
      node.applied,
      node.lag,
      node.roundTripUs,
      node.failuresTotal,
    ]),
    [
      ["b", true, 1n, 1n, 0n, 1_234, 4],
      ["c", true, 1n, 0n, 1n, undefined, 0],
      ["never", false, 0n, 0n, 1n, undefined, 0],
    ],
  );
  assert.deepEqual([status.revision, status.synced, status.epoch?.createdMs], [1n, true, 1n]);
});
