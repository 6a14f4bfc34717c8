/** A shutdown with workers: each asks its own agents to leave, and no agent keeps the program for longer than `--drain`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GoawayReason } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import { endpoints, service } from "../scripted-source.ts";
import type { ScriptedAgent } from "../fanout/scripted-agent.ts";
import { TestingWorkers } from "./testing-workers.ts";

test("agents of both workers are told to leave and when to come back, and one that does not read keeps nobody", async () => {
  const workers = new TestingWorkers();
  // Half a second for each agent of a worker, on average.
  const limits = { fanout: { returnsPerSecond: 4, drainMs: 1_500 } };
  await using running = await RunningPipeline.start({ workers: 2, spawn: workers.spawn, limits });
  running.source.give(service("a/b"), endpoints("a/b", ["10.1.0.1"]));
  running.source.synced();
  const agents: ScriptedAgent[] = [];
  const of = (worker: number): ScriptedAgent[] => agents.filter(({ node }) => workers.workerOf(node) === worker);
  while (of(1).length < 4 || of(2).length < 4) {
    const agent = running.agent(`n${agents.length}`).hello();
    agents.push(agent);
    await agent.untilRevision(1);
    await running.until(() => running.fleet.nodes.get(agent.node)?.applied === 1, "its ack");
  }
  const [stuck, ...others] = agents;
  stuck?.stall();
  await running.stop();
  for (const agent of others) {
    await agent.ended;
    assert.equal(agent.arrivals.at(-1)?.response.goaway?.reason, GoawayReason.DRAINING);
  }
  for (const worker of [1, 2]) {
    // Both go on at half the pace, so that all come back at the whole one.
    const mine = of(worker);
    const times = mine.flatMap(({ arrivals }) => arrivals.at(-1)?.response.goaway?.retryAfterMs ?? []).map(Number);
    const windowMs = (mine.length / 2) * 1_000;
    assert.ok(times.every((ms) => ms > 0 && ms <= windowMs) && Math.max(...times) > windowMs / 2, times.join());
  }
  stuck?.unstall();
  await stuck?.ended;
  assert.deepEqual(
    [...running.fleet.nodes].filter(([, { left }]) => left === undefined),
    [],
  );
  assert.equal(running.fleet.departures.length, agents.length);
});
