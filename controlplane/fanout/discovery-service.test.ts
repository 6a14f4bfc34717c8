import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { resourceId } from "@weft/proto/ids.ts";
import { status } from "@grpc/grpc-js";
import { GoawayReason } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import { endpoints, gone, node, service } from "../scripted-source.ts";
import { HeldResources } from "./held-resources.ts";
import { cursorMessage, cursorOf } from "./scripted-agent.ts";
import type { ScriptedAgent } from "./scripted-agent.ts";
import { assertAtHead, started } from "./testing-service.ts";

/** The next stream of the same agent. */
function again(running: RunningPipeline, agent: ScriptedAgent, instance = agent.instance): ScriptedAgent {
  agent.held.reconnected();
  return running.agent(agent.node, { instance, held: agent.held });
}

const many = (count: number, offset = 0): string[] =>
  Array.from(
    { length: count },
    (_, i) => `10.${(i + offset) >> 16}.${((i + offset) >> 8) & 255}.${(i + offset) & 255}`,
  );

describe("state", () => {
  test("before the source is synced an agent gets Welcome and nothing else", async () => {
    await using running = await RunningPipeline.start({
      limits: { stream: { heartbeatMs: 5_000, firstHeartbeatMs: 1 } },
    });
    const agent = running.agent("n1").hello();
    running.source.give(service("a/b"));
    await agent.until(({ arrivals }) => arrivals.length >= 2, "a heartbeat");
    const [first, second] = agent.arrivals.map(({ response }) => response);
    assert.ok(first?.welcome && !first.nodeView && !first.synced);
    assert.equal(second?.heartbeat?.synced, false);
    assert.equal(second?.delta ?? second?.nodeView, undefined);
    running.source.synced();
    await agent.untilRevision(1);
    assertAtHead(agent, running);
  });

  test("an empty cluster has revision 1", async () => {
    await using running = await RunningPipeline.start();
    running.source.synced();
    const agent = running.agent("n1").hello();
    await agent.untilRevision(1);
    assertAtHead(agent, running);
    assert.equal(running.fleet.isSynced, true);
  });

  test("a snapshot, then deltas of what changed", async () => {
    await using running = await started();
    const agent = running.agent("n1").hello();
    await agent.untilRevision(1);
    running.source.give(endpoints("a/b", ["10.1.0.1", "10.1.0.2"]));
    await agent.untilRevision(2);
    running.source.give(gone("Service", "a/b"));
    await agent.untilRevision(3);
    assertAtHead(agent, running);
    const deltas = agent.arrivals.flatMap(({ response }) => response.delta ?? []);
    assert.deepEqual(
      deltas.map(({ from, to, resources, removed }) => [from, to, resources.length, removed.length]),
      // The names of node and zone, the service, a backend; then a backend; then the service, which implies its backends, and two names.
      [
        [undefined, 1n, 4, 0],
        [1n, 2n, 1, 0],
        [2n, 3n, 0, 3],
      ],
    );
    await running.until(() => running.fleet.nodes.get("n1")?.applied === 3, "the ack");
  });

  test("a change of a zone is a NodeView to that node and no revision", async () => {
    await using running = await started();
    const [mine, other] = [running.agent("n1").hello(), running.agent("n2").hello()];
    await Promise.all([mine.untilRevision(1), other.untilRevision(1)]);
    assert.equal(mine.held.nodeView?.zone, "zone-1");
    assert.equal(other.held.nodeView?.zone, "");
    running.source.give(node("n1", "zone-2"));
    await mine.until(({ held }) => held.nodeView?.zone === "zone-2", "the view");
    assert.equal(running.head, 1);
    assert.equal(other.arrivals.filter(({ response }) => response.nodeView).length, 1);
    assert.deepEqual(running.fleet.known, new Set(["n1"]));
  });

  test("a snapshot above the part limit comes in parts of one revision", async () => {
    await using running = await started({ limits: { transfer: { partBytesMax: 4_096 } } }, many(500));
    const agent = running.agent("n1").hello();
    await agent.untilRevision(1);
    assertAtHead(agent, running);
    assert.ok(agent.arrivals.filter(({ response }) => response.delta).length > 5);
    assert.ok(agent.arrivals.every(({ bytes }) => bytes <= 4_096));
  });

  test("more agents than turns for snapshots are all served", async () => {
    await using running = await started(
      { limits: { fanout: { snapshotsMax: 2 }, transfer: { partBytesMax: 4_096 } } },
      many(300),
    );
    const agents = Array.from({ length: 20 }, (_, i) => running.agent(`n${i}`).hello());
    await Promise.all(agents.map((agent) => agent.untilRevision(1)));
    for (const agent of agents) assertAtHead(agent, running);
    await running.until(() => running.metric("weft_fanout_snapshots_total") === 20, "the count");
    await running.until(() => running.metric("weft_fanout_snapshots_in_flight") === 0, "the count");
  });
});

describe("resume", () => {
  test("at the head: Welcome, NodeView and Synced in one write of less than 100 bytes", async () => {
    await using running = await started();
    const first = running.agent("n1").hello();
    await first.untilRevision(1);
    await first.close();
    const second = again(running, first).hello();
    await second.until(({ arrivals }) => arrivals.length > 0, "the answer");
    const [answer] = second.arrivals;
    assert.ok(answer?.response.welcome && answer.response.nodeView && answer.response.synced?.revision === 1n);
    assert.ok(answer.bytes < 100, `${answer.bytes} bytes`);
    assert.equal(second.held.snapshots, 1);
  });

  test("inside the history: one delta of what changed since, conflated", async () => {
    await using running = await started();
    const first = running.agent("n1").hello();
    const watcher = running.agent("n2").hello();
    await Promise.all([first.untilRevision(1), watcher.untilRevision(1)]);
    await first.close();
    for (let i = 2; i <= 4; i++) {
      running.source.give(endpoints("a/b", [`10.1.0.${i}`]));
      await watcher.untilRevision(i);
    }
    const second = again(running, first).hello();
    await second.untilRevision(4);
    assertAtHead(second, running);
    const deltas = second.arrivals.flatMap(({ response }) => response.delta ?? []);
    assert.deepEqual(
      deltas.map(({ from, to, resources, removed }) => [from, to, resources.length, removed.length]),
      [[1n, 4n, 1, 1]],
    );
  });

  test("behind the history: a repair of what differs", async () => {
    await using running = await started({ limits: { catalog: { historyRevisionsMax: 1 } } });
    const first = running.agent("n1").hello();
    const watcher = running.agent("n2").hello();
    await Promise.all([first.untilRevision(1), watcher.untilRevision(1)]);
    await first.close();
    for (let i = 2; i <= 4; i++) {
      running.source.give(endpoints("a/b", [`10.1.0.${i}`]));
      await watcher.untilRevision(i);
    }
    const second = again(running, first).hello();
    await second.untilRevision(4);
    assertAtHead(second, running);
    assert.deepEqual([second.held.snapshots, second.held.repairs, second.held.repaired], [1, 1, 2]);
  });

  test("after a restart with the same content: Synced by digest, without a snapshot", async () => {
    const held = new HeldResources();
    {
      await using running = await started({ epochMs: 1_000 });
      await running.agent("n1", { held }).hello().untilRevision(1);
    }
    held.reconnected();
    await using running = await started({ epochMs: 2_000 });
    const agent = running.agent("n1", { held }).hello();
    await agent.until(() => held.cursor?.epoch.createdMs === 2_000, "the new epoch");
    assertAtHead(agent, running);
    assert.equal(held.snapshots, 1);
    assert.equal(agent.arrivals.length, 1);
  });

  test("after a restart with other content: a repair that removes what is gone", async () => {
    const held = new HeldResources();
    {
      await using running = await started({ epochMs: 1_000 }, ["10.1.0.1", "10.1.0.2"]);
      await running.agent("n1", { held }).hello().untilRevision(1);
    }
    held.reconnected();
    await using running = await started({ epochMs: 2_000 });
    const agent = running.agent("n1", { held }).hello();
    await agent.until(() => held.cursor?.epoch.createdMs === 2_000, "the new epoch");
    assertAtHead(agent, running);
    assert.deepEqual([held.snapshots, held.repairs, held.repaired], [1, 1, 1]);
  });
});

describe("epochs", () => {
  test("an agent with a later epoch renames ours; the others go on by digest, without a snapshot", async () => {
    const ours = Date.now() - 60_000;
    await using running = await started({ epochMs: ours });
    const [here, back] = [running.agent("n1").hello(), running.agent("n2").hello()];
    await Promise.all([here.untilRevision(1), back.untilRevision(1)]);
    const later = running.agent("n3").hello({ cursor: cursorMessage(cursorOf(ours + 5_000, 9, 77)) });
    const renamed = (agent: ScriptedAgent): boolean => agent.held.cursor?.epoch.createdMs === ours + 5_001;
    await Promise.all([here, back, later].map((agent) => agent.until(renamed, "the new epoch")));
    for (const agent of [here, back, later]) assertAtHead(agent, running);
    assert.deepEqual([here.held.snapshots, back.held.snapshots, later.held.snapshots], [1, 1, 1]);
    running.source.give(endpoints("a/b", ["10.1.0.9"]));
    await Promise.all([here, back, later].map((agent) => agent.untilRevision(2)));
    for (const agent of [here, back, later]) assertAtHead(agent, running);
    await running.until(() => running.metric("weft_fanout_epoch_renames_total") === 1, "the count");
    assert.equal(running.fleet.epochs.length, 2);
  });

  test("an agent whose content differs after a renaming is asked what it holds", async () => {
    const ours = Date.now() - 60_000;
    await using running = await started({ epochMs: ours });
    const here = running.agent("n1", { doesAck: false }).hello();
    await here.untilRevision(1);
    running.agent("n2").hello({ cursor: cursorMessage(cursorOf(ours + 5_000, 9, 77)) });
    await here.until(
      ({ arrivals }) => arrivals.some(({ response }, i) => i > 0 && response.welcome),
      "the second Welcome",
    );
    const asked = here.arrivals.at(-1)?.response.heartbeat?.sequence ?? 0n;
    // Acks that were on their way when the epoch ended count for nothing.
    here.ack({ revision: 1, digest: here.held.digest });
    here.ack({ revision: 0, digest: 99n, heartbeat: asked });
    // It holds the same after all.
    await here.until(({ held }) => held.cursor?.epoch.createdMs === ours + 5_001, "the new epoch");
    assertAtHead(here, running);
    assert.equal(here.arrivals.filter(({ response }) => response.digestQuery).length, 1);
    assert.equal(here.held.snapshots, 1);
  });
});

describe("two streams of one node", () => {
  test("of one instance: the newer replaces the older", async () => {
    await using running = await started();
    const older = running.agent("n1").hello();
    await older.untilRevision(1);
    const newer = running.agent("n1").hello();
    await newer.untilRevision(1);
    await older.ended;
    assert.equal(older.arrivals.at(-1)?.response.goaway?.reason, GoawayReason.REPLACED);
    // A worker thread tells the fleet a little later.
    await running.until(() => running.fleet.departures.length > 0, "the end of the older one to be told");
    assert.deepEqual(running.fleet.departures, ["n1 replaced"]);
    assert.equal(running.fleet.nodes.get("n1")?.left, undefined);
  });

  test("of two instances: the newcomer is refused, and both peers are named", async () => {
    await using running = await started();
    const older = running.agent("n1", { instance: 1n }).hello();
    await older.untilRevision(1);
    const newcomer = running.agent("n1", { instance: 2n }).hello();
    const { code, details } = await newcomer.ended;
    assert.equal(code, status.ALREADY_EXISTS);
    const peers = [...details.matchAll(/127\.0\.0\.1:\d+/g)].map(([peer]) => peer);
    assert.equal(new Set(peers).size, 2);
    assert.equal(peers[0], running.fleet.nodes.get("n1")?.connection.peer);
    running.source.give(endpoints("a/b", ["10.1.0.9"]));
    await older.untilRevision(2);
  });
});

describe("agents that do not keep up", () => {
  test("an agent that never answers a question gets a snapshot", async () => {
    const limits = { stream: { digestsMs: 100 }, fanout: { tickMs: 10 } };
    await using running = await started({ limits });
    const agent = running.agent("n1", { doesAnswerDigests: false });
    agent.hello({ cursor: cursorMessage(cursorOf(1, 1, 1)), digest: 5n });
    await agent.untilRevision(1);
    assertAtHead(agent, running);
    await running.until(
      () => running.metric('weft_fanout_snapshots_instead_total{reason="unanswered"}') === 1,
      "the count",
    );
    await running.until(() => running.metric("weft_fanout_snapshots_in_flight") === 0, "the count");
  });

  test("one that stops reading delays nobody and catches up conflated", async () => {
    await using running = await started();
    const [stalled, good] = [running.agent("stalled").hello(), running.agent("good").hello()];
    await Promise.all([stalled.untilRevision(1), good.untilRevision(1)]);
    stalled.stall();
    const skipped = (): number => running.metric("weft_fanout_skipped_streams_total");
    const change = async (): Promise<void> => {
      running.source.give(endpoints("a/b", many(1_000, running.head * 1_000)));
      await good.untilRevision(running.head + 1);
    };
    // Until the buffers on the way are full: a write that is on its way is no sign of that, several changes without one are.
    const sent = (): number => running.fleet.nodes.get("stalled")?.sent ?? 0;
    for (let unsent = 0; unsent < 5;) {
      const before = sent();
      await change();
      unsent = sent() === before ? unsent + 1 : 0;
    }
    const handed = sent();
    for (let i = 0; i < 10; i++) await change();
    assertAtHead(good, running);
    // Counts of workers come a little later.
    await running.until(() => skipped() >= 10, "the stalled one to be skipped");
    assert.equal(sent(), handed);
    stalled.unstall();
    await stalled.untilRevision(running.head);
    assertAtHead(stalled, running);
    // What was handed over, the one that was stuck, and one for all the rest.
    const deltas = stalled.arrivals.filter(({ response }) => response.delta).length;
    assert.ok(deltas <= handed + 2, `${deltas} deltas for ${handed} revisions handed over before`);
  });

  test("one that never reads is ended as stalled", async () => {
    await using running = await started({ limits: { stream: { stalledMs: 300 }, fanout: { tickMs: 20 } } });
    const [stalled, good] = [running.agent("stalled").hello(), running.agent("good").hello()];
    await Promise.all([stalled.untilRevision(1), good.untilRevision(1)]);
    stalled.stall();
    for (let i = 2; running.fleet.nodes.get("stalled")?.left === undefined; i++) {
      running.source.give(endpoints("a/b", many(1_000, i * 1_000)));
      await good.untilRevision(i);
    }
    assert.equal(running.fleet.nodes.get("stalled")?.left, "stalled");
    assertAtHead(good, running);
    stalled.unstall();
    assert.notEqual((await stalled.ended).code, status.OK);
    await running.until(() => running.metric("weft_fanout_streams") === 1, "the end of the stream");
  });

  test("one that says nothing is ended as silent, one that answers heartbeats is not", async () => {
    await using running = await started({
      limits: { stream: { heartbeatMs: 200, firstHeartbeatMs: 50 }, fanout: { tickMs: 20 } },
    });
    const silent = running.agent("silent", { doesAck: false }).hello();
    running.agent("good").hello();
    const { details } = await silent.ended;
    assert.match(details, /silent sent nothing for 600 ms/);
    assert.equal(silent.arrivals.at(-1)?.response.goaway?.reason, GoawayReason.SILENT);
    await running.until(() => (running.fleet.nodes.get("good")?.roundTrips ?? 0) > 2, "round trips");
    assert.equal(running.fleet.nodes.get("good")?.left, undefined);
  });

  test("one that never says Hello is ended", async () => {
    await using running = await started({ limits: { stream: { helloMs: 50 }, fanout: { tickMs: 10 } } });
    // Something that does not count as a Hello opens the call.
    const { code } = await running.agent("n1").sendBytes(Uint8Array.of(0xa0, 0x06, 1)).ended;
    assert.equal(code, status.DEADLINE_EXCEEDED);
  });
});

describe("many agents", () => {
  test("200 follow a burst of commits and all end at the head", async () => {
    await using running = await started();
    const agents = Array.from({ length: 200 }, (_, i) => running.agent(`n${i}`).hello());
    await Promise.all(agents.map((agent) => agent.untilRevision(1)));
    for (let i = 2; i <= 20; i++) {
      running.source.give(endpoints("a/b", [`10.1.0.${i}`, `10.1.1.${i}`]));
      if (i % 3 === 0) await new Promise(setImmediate);
    }
    // The head is the last one once it holds what came last.
    running.source.give(service("a/sentinel"));
    const sentinel = resourceId("service", "a/sentinel");
    await running.until(() => running.pipeline.catalog.get(sentinel) !== undefined, "the last commit");
    await Promise.all(
      agents.map((agent) => agent.until(({ held }) => held.digest === running.pipeline.catalog.root, "the head")),
    );
    for (const agent of agents) assertAtHead(agent, running);
  });

  test("a rolling reconnect during commits sends no snapshot twice", async () => {
    await using running = await started();
    let agents = Array.from({ length: 30 }, (_, i) => running.agent(`n${i}`).hello());
    await Promise.all(agents.map((agent) => agent.untilRevision(1)));
    for (let round = 0; round < 3; round++) {
      agents = await Promise.all(
        agents.map(async (agent, i) => {
          await agent.close();
          if (i % 10 === 0) running.source.give(endpoints("a/b", [`10.1.${round}.${i + 1}`]));
          return again(running, agent).hello();
        }),
      );
    }
    await Promise.all(
      agents.map((agent) => agent.until(({ held }) => held.digest === running.pipeline.catalog.root, "the head")),
    );
    for (const agent of agents) {
      assertAtHead(agent, running);
      assert.equal(agent.held.snapshots, 1);
    }
  });

  test("at shutdown every agent is told to go, and the run ends at once", async () => {
    const running = await started();
    const agents = Array.from({ length: 10 }, (_, i) => running.agent(`n${i}`).hello());
    await Promise.all(agents.map((agent) => agent.untilRevision(1)));
    await running.stop();
    for (const agent of agents) {
      assert.equal((await agent.ended).code, status.OK);
      assert.equal(agent.arrivals.at(-1)?.response.goaway?.reason, GoawayReason.DRAINING);
      await agent.close();
    }
    await running.until(() => running.metric("weft_fanout_streams") === 0, "the count");
  });
});
