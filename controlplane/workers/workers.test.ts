import assert from "node:assert/strict";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { GoawayReason } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { noTriggers } from "@weft/proto/trigger-times.ts";
import { revision } from "@weft/proto/cursor.ts";
import { cursorMessage, cursorOf } from "../fanout/scripted-agent.ts";
import type { ScriptedAgent } from "../fanout/scripted-agent.ts";
import { started } from "../fanout/testing-service.ts";
import type { RunningPipeline } from "../running-pipeline.ts";
import { endpoints } from "../scripted-source.ts";

// The kernel spreads connections by chance: of so many, both workers have some but once in 500,000 runs.
const many = 20;

function manyAgents(running: RunningPipeline): ScriptedAgent[] {
  return Array.from({ length: many }, (_, i) => running.agent(`n${i}`).hello());
}

async function allAtHead(running: RunningPipeline, agents: readonly ScriptedAgent[]): Promise<void> {
  await Promise.all(agents.map((agent) => agent.untilRevision(running.head)));
  for (const agent of agents) assert.equal(agent.held.digest, running.pipeline.catalog.root);
}

test("agents of both workers get every commit, and all acks reach the fleet", async () => {
  await using running = await started({ workers: 2 });
  const agents = manyAgents(running);
  await Promise.all(agents.map((agent) => agent.untilRevision(1)));
  running.source.give(endpoints("a/b", ["10.1.0.1", "10.1.0.2"]));
  await Promise.all(agents.map((agent) => agent.untilRevision(2)));
  await allAtHead(running, agents);
  await running.until(() => [...running.fleet.nodes.values()].every(({ applied }) => applied === 2), "all acks");
  assert.equal(running.fleet.nodes.size, many);
  await running.until(() => running.fleet.flushes.includes(revision(2)), "the flush");
});

test("the same agent again and again: each stream replaces the one before, wherever it was", async () => {
  await using running = await started({ workers: 2 });
  let agent = running.agent("n1").hello();
  await agent.untilRevision(1);
  for (let i = 0; i < 10; i++) {
    const before = agent;
    agent = running.agent("n1").hello();
    await agent.untilRevision(1);
    await before.ended;
    const goaway = before.arrivals.at(-1)?.response.goaway;
    assert.equal(goaway?.reason, GoawayReason.REPLACED);
  }
  running.source.give(endpoints("a/b", ["10.1.0.9"]));
  await agent.untilRevision(2);
  await allAtHead(running, [agent]);
  await running.until(() => running.fleet.departures.length === 10, "the fleet to see all ends");
  assert.deepEqual(new Set(running.fleet.departures), new Set(["n1 replaced"]));
});

test("another agent of the same name is refused on either worker", async () => {
  await using running = await started({ workers: 2 });
  const first = running.agent("n1").hello();
  await first.untilRevision(1);
  for (let i = 0; i < 10; i++) {
    const end = await running.agent("n1", { instance: 2n }).hello().ended;
    assert.equal(end.code, status.ALREADY_EXISTS);
    assert.match(end.details, /already connected from 127\.0\.0\.1:\d+ .*; 127\.0\.0\.1:\d+ has instance/);
  }
});

test("a later epoch renames the history on both workers", async () => {
  await using running = await started({ workers: 2 });
  const agents = manyAgents(running);
  await Promise.all(agents.map((agent) => agent.untilRevision(1)));
  const later = { createdMs: Date.now() + 60_000, random: 5 };
  const late = running.agent("late").hello({ cursor: cursorMessage(cursorOf(later.createdMs, later.random, 3)) });
  await Promise.all(
    [late, ...agents].map((agent) =>
      agent.until(({ held }) => held.cursor?.epoch.createdMs === later.createdMs + 1, "the new epoch"),
    ),
  );
  assert.equal(running.fleet.epochs.length, 2);
  running.source.give(endpoints("a/b", ["10.1.0.9"]));
  await Promise.all(agents.map((agent) => agent.untilRevision(2)));
  await running.until(
    () => agents.every(({ node }) => running.fleet.nodes.get(node)?.applied === 2),
    "acks of the new epoch",
  );
});

test("workers that fail are started again, and agents that come back find the head", async () => {
  await using running = await started({ workers: 2 });
  const agents = manyAgents(running);
  await Promise.all(agents.map((agent) => agent.untilRevision(1)));
  await running.until(() => running.fleet.nodes.size === many, "all connected");
  // One that does not follow the head: no worker can take it.
  const wrong = { revision: revision(99), puts: [], removals: [], replaced: new Map(), triggers: noTriggers };
  await running.pipeline.fanout.broadcast(wrong).done;
  await Promise.all(agents.map(({ ended }) => ended));
  await running.until(() => running.fleet.departures.length === many, "the fleet to see it");
  running.source.give(endpoints("a/b", ["10.1.0.9"]));
  await running.until(() => running.head === 2, "a commit while nobody serves");
  const again: ScriptedAgent[] = [];
  for (const { node, held } of agents) {
    held.reconnected();
    for (;;) {
      const agent = running.agent(node, { held }).hello();
      const isServed = agent.untilRevision(2).then(
        () => true,
        () => false,
      );
      if (await isServed) {
        again.push(agent);
        break;
      }
    }
  }
  await allAtHead(running, again);
  assert.ok(running.logged.some((line) => line.includes("a worker ended")));
});
