/** A worker that fails while it serves: what was half sent is worth nothing, the other worker goes on, and gauges are true again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ScriptedAgent } from "../fanout/scripted-agent.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import { endpoints, service } from "../scripted-source.ts";
import { TestingWorkers } from "./testing-workers.ts";

/** In many messages: more than an agent that does not read lets come. */
const large = Array.from({ length: 40 }, (_, i) => [
  service(`a/s${i}`, `10.96.${i >> 8}.${i & 255}`),
  endpoints(
    `a/s${i}`,
    Array.from({ length: 200 }, (_unused, k) => `10.${i >> 8}.${i & 255}.${k}`),
  ),
]).flat();
const partBytesMax = 16 * 1_024;

const gauge = (name: string): string => `weft_fanout_${name}`;

function isMidSnapshot({ held, arrivals }: ScriptedAgent): boolean {
  return held.cursor === undefined && arrivals.some(({ response }) => response.delta !== undefined);
}

test("a worker that fails amid snapshots: its agents come back and get a whole one, the other's stay", async () => {
  const workers = new TestingWorkers();
  await using running = await RunningPipeline.start({
    workers: 2,
    spawn: workers.spawn,
    limits: { transfer: { partBytesMax } },
  });
  running.source.give(...large);
  running.source.synced();
  await running.until(() => running.head === 1, "the first commit");

  const agents: ScriptedAgent[] = [];
  const of = (worker: number): ScriptedAgent[] => agents.filter(({ node }) => workers.workerOf(node) === worker);
  while (of(1).length < 2 || of(2).length < 2) {
    const agent = running.agent(`n${agents.length}`).hello();
    agents.push(agent);
    await agent.until(
      ({ arrivals }) => arrivals.some(({ response }) => response.delta !== undefined),
      "the first part",
    );
    agent.stall();
    await running.until(() => workers.workerOf(agent.node) !== undefined, "the fleet to see it");
  }
  const [lost, left] = [of(1), of(2)];
  assert.ok(agents.every(isMidSnapshot));
  const turns = (): number => running.metric(gauge("snapshots_in_flight")) + running.metric(gauge("snapshots_stuck"));
  await running.until(() => turns() === agents.length, "a turn for each");

  workers.fail(1);
  await running.until(() => running.fleet.departures.length === lost.length, "the fleet to see them go");
  assert.deepEqual(running.fleet.departures.toSorted(), lost.map(({ node }) => `${node} worker-ended`).toSorted());
  await running.until(() => turns() === left.length && running.metric(gauge("streams")) === left.length, "the gauges");
  assert.equal(running.metric(gauge("agents")), left.length);
  for (const agent of left) agent.unstall();
  await Promise.all(left.map((agent) => agent.untilRevision(1)));
  for (const agent of lost) {
    agent.unstall();
    await agent.ended;
    assert.equal(agent.held.cursor, undefined);
  }

  const again: ScriptedAgent[] = [];
  // Until the new thread serves some, too.
  const isBack = (): boolean => again.some(({ node }) => workers.workerOf(node) === 1);
  for (let i = 0; i < lost.length || !isBack(); i++) {
    const node = lost[i]?.node ?? `late${i}`;
    const agent = running.agent(node).hello();
    again.push(agent);
    await agent.untilRevision(1);
    await running.until(() => running.fleet.nodes.get(node)?.applied === 1, "its ack");
  }
  const all = [...left, ...again];
  running.source.give(endpoints("a/s0", ["10.9.9.9"]));
  await Promise.all(all.map((agent) => agent.untilRevision(2)));
  for (const { held } of all) assert.equal(held.digest, running.pipeline.catalog.root);
  await running.until(() => running.metric(gauge("agents")) === all.length && turns() === 0, "the gauges of all");
  const { departures } = running.fleet;
  assert.equal(departures.length, lost.length);
  assert.equal(running.metric('weft_fanout_streams_ended_total{reason="worker-ended"}'), lost.length);
});
