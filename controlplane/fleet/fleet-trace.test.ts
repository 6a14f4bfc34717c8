import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { epoch } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { GetTraceRequestSchema } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import type { GetTraceResponse } from "@weft/proto/gen/weft/fleet/v1/fleet_pb.ts";
import { fleetStatus } from "./testing-status.ts";
import { fleetTrace } from "./fleet-trace.ts";
import { Fleet } from "./fleet.ts";
import { ackOf, Commits, serviceResource } from "./testing-resources.ts";
import type { AckSpec } from "./testing-resources.ts";

const web = serviceResource({ service: "a/web" });
const names = ["n1", "n2", "n3", "n4"];

/** Nodes `names`, one commit at 10,000 us, and time that a test gives. */
class Story {
  readonly fleet = new Fleet(0);
  readonly #commits = new Commits();

  constructor() {
    this.fleet.epochStarted(epoch(1, 1));
    this.fleet.nodesKnown(undefined);
    this.fleet.synced();
    for (const node of names) this.connect(node);
  }

  connect(node: string): void {
    const nothing = { addresses: [], nodePortAddresses: [], localAddresses: [], servesLocalClusterIps: false };
    const connection = { node, instance: 1n, peer: "10.9.9.9:1", versions: undefined, applied: 0 as Revision };
    this.fleet.connected({ ...connection, ...nothing }, 0);
  }

  commit(atUs: number, traceId?: string): void {
    const steps = { noticedAtUs: atUs - 300, compileStartedAtUs: atUs - 200, compiledAtUs: atUs - 100, traceId };
    this.fleet.committed(this.#commits.commit([web]), 77, atUs, steps);
  }

  ack(node: string, spec: AckSpec, atUs: number): void {
    this.fleet.acked(node, ackOf(spec), undefined, atUs);
  }

  trace(request: MessageInitShape<typeof GetTraceRequestSchema> = {}): GetTraceResponse {
    const answer = fleetTrace(this.fleet, create(GetTraceRequestSchema, request), 60_000);
    assert.equal(answer.kind, "trace");
    return answer.kind === "trace" ? answer.trace : assert.fail();
  }

  problem(request: MessageInitShape<typeof GetTraceRequestSchema>): string {
    const answer = fleetTrace(this.fleet, create(GetTraceRequestSchema, request), 60_000);
    return answer.kind === "trace" ? "none" : `${answer.kind}: ${answer.problem}`;
  }
}

const nodesOf = (trace: GetTraceResponse): readonly string[] =>
  trace.nodes.map(
    ({ node, commitToAckUs, revision, cameLater }) => `${node} ${commitToAckUs} ${revision} ${cameLater}`,
  );

describe("how a revision went", () => {
  test("is what acks say: steps, shares, the slowest first, and who is missing and why", () => {
    const story = new Story();
    story.commit(10_000, "ab".repeat(16));
    story.fleet.flushed(1 as Revision, 10_500);
    story.ack("n2", { revision: 1 }, 11_000);
    story.ack("n4", { revision: 1 }, 12_000);
    story.ack("n1", { revision: 1 }, 13_000);
    story.fleet.disconnected("n3", 1n, "closed", 50_000_000);
    const trace = story.trace({ slowest: 2 });
    assert.deepEqual(
      [trace.noticedAtUs, trace.compileStartedAtUs, trace.compiledAtUs, trace.commit?.committedAtUs, trace.sentAtUs],
      [9_700n, 9_800n, 9_900n, 10_000n, 10_500n],
    );
    assert.deepEqual([trace.commit?.revision, trace.commit?.bytes, trace.commit?.services], [1n, 77n, ["a/web"]]);
    assert.equal(trace.traceId, "ab".repeat(16));
    assert.deepEqual([trace.connected, trace.acked, trace.firstAckUs, trace.lastAckUs], [4, 3, 1_000n, 3_000n]);
    assert.deepEqual(
      trace.convergence.map(({ percent, elapsedUs, nodes }) => [percent, elapsedUs, nodes]),
      [[50, 2_000n, 4]],
    );
    assert.deepEqual(nodesOf(trace), ["n1 3000 1 false", "n4 2000 1 false"]);
    assert.deepEqual(
      trace.missing.map(({ node, applied, reason }) => `${node} ${applied} ${reason}`),
      ["n3 0 disconnected 10 s ago"],
    );
    assert.equal(trace.missingTotal, 1);
  });

  test("names the revision that a node acked instead, if it took several at once", () => {
    const story = new Story();
    story.commit(10_000);
    story.commit(20_000);
    story.ack("n1", { revision: 2 }, 21_000);
    assert.deepEqual(nodesOf(story.trace({ cursor: { revision: 1n } })), ["n1 11000 2 false"]);
    assert.deepEqual(nodesOf(story.trace()), ["n1 1000 2 false"]);
  });

  test("lists those who came later only when they are asked for, and each node once", () => {
    const story = new Story();
    story.commit(10_000);
    story.connect("late");
    story.ack("late", { revision: 1 }, 99_000);
    story.ack("n1", { revision: 1 }, 11_000);
    const trace = story.trace({ nodes: ["late", "n1", "late", "n2"] });
    assert.deepEqual(nodesOf(trace), ["n1 1000 1 false", "late 89000 1 true"]);
    assert.deepEqual([trace.connected, trace.acked, trace.lastAckUs], [4, 1, 1_000n]);
  });

  test("cannot be asked of what is not remembered", () => {
    const story = new Story();
    assert.match(story.problem({}), /^not-found: revision 0 is not remembered; these are: none yet$/);
    story.commit(10_000);
    assert.equal(story.problem({ cursor: { epoch: { createdMs: 1n, random: 1 }, revision: 1n } }), "none");
    assert.equal(
      story.problem({ cursor: { revision: 2n } }),
      "not-found: revision 2 is not remembered; these are: 1 to 1",
    );
    assert.match(
      story.problem({ cursor: { epoch: { createdMs: 2n, random: 1 }, revision: 1n } }),
      /^other-epoch: epoch 2-0/,
    );
    assert.match(story.problem({ cursor: { revision: 0n } }), /^invalid: cursor\.revision/);
    assert.match(story.problem({ slowest: 10_001 }), /^invalid: slowest/);
    assert.match(story.problem({ nodes: Array.from({ length: 257 }, () => "n1") }), /^invalid: nodes/);
    assert.match(story.problem({ nodes: ["nobody"] }), /^not-found: node "nobody"/);
  });
});

describe("laggards in the status", () => {
  test("are the nodes that do not run the head whole, furthest behind first, each with its reason", () => {
    const story = new Story();
    story.commit(10_000);
    story.ack("n1", { revision: 1 }, 11_000);
    story.ack("n2", { revision: 1 }, 11_000);
    story.commit(20_000);
    story.ack("n1", { revision: 2 }, 21_000);
    story.ack("n3", { revision: 2, failed: ["a/web"] }, 21_000);
    story.fleet.disconnected("n4", 1n, "silent", 30_000_000);
    for (const isWithoutNodes of [false, true]) {
      const status = fleetStatus(story.fleet, 40_000, isWithoutNodes);
      const { current, behind, failing, disconnected } = status.counts ?? assert.fail();
      assert.deepEqual([current, behind, failing, disconnected], [1, 1, 1, 1]);
      assert.deepEqual(
        status.laggards.map(({ node, applied, reason }) => `${node} ${applied} ${reason.slice(0, 21)}`),
        ["n4 0 disconnected 10 s ago", "n2 1 applied 1 of 2", "n3 2 failed a/web: capacit"].map((line) =>
          line.slice(0, 26),
        ),
      );
      assert.equal(status.laggardsTotal, 3);
      assert.equal(status.nodes.length, isWithoutNodes ? 0 : 4);
    }
  });

  test("are none when every node runs the head, and those with a Node object that never connected", () => {
    const story = new Story();
    story.commit(10_000);
    for (const node of names) story.ack(node, { revision: 1 }, 11_000);
    assert.deepEqual(fleetStatus(story.fleet, 40).laggards, []);
    story.fleet.nodesKnown(new Set([...names, "never"]));
    const { laggards } = fleetStatus(story.fleet, 40);
    assert.deepEqual(
      laggards.map(({ node, reason }) => [node, reason]),
      [["never", "never connected"]],
    );
  });
});
