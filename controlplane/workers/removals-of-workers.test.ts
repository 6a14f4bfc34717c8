/** Mass removals that are held back at the streams of workers, and are confirmed in the main thread. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HeldResources } from "../fanout/held-resources.ts";
import { cursorMessage, cursorOf } from "../fanout/scripted-agent.ts";
import type { ScriptedAgent } from "../fanout/scripted-agent.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import type { RunningOptions } from "../running-pipeline.ts";
import { endpoints, service } from "../scripted-source.ts";
import { TestingWorkers } from "./testing-workers.ts";

const withWorkers = ({ spawn }: TestingWorkers): RunningOptions => ({ workers: 2, spawn });
const heldMetric = "weft_fanout_mass_removal_agents";

/** A control plane whose source lists these services. */
async function started(options: RunningOptions, names: readonly string[] = ["a/b"]): Promise<RunningPipeline> {
  const running = await RunningPipeline.start(options);
  for (const name of names) running.source.give(service(name), endpoints(name, ["10.1.0.1"]));
  running.source.synced();
  await running.until(() => running.head === 1, "the first commit");
  return running;
}

/** Agents come, each after the one before was served, until both workers have some. */
async function agentsOfBoth(
  running: RunningPipeline,
  workers: TestingWorkers,
  come: (node: string) => ScriptedAgent,
): Promise<ScriptedAgent[]> {
  const agents: ScriptedAgent[] = [];
  const served = new Set<number | undefined>();
  while (agents.length < 4 || served.size < 2) {
    const agent = come(`n${agents.length}`);
    agents.push(agent);
    await running.until(() => running.fleet.nodes.has(agent.node), "the fleet to see it");
    served.add(workers.workerOf(agent.node));
  }
  return agents;
}

/** Agents from another history that hold 100 services, where the source lists one. */
function doubted(running: RunningPipeline, workers: TestingWorkers): Promise<ScriptedAgent[]> {
  const cursor = cursorMessage(cursorOf(1_000, 1, 5));
  return agentsOfBoth(running, workers, (node) =>
    running.agent(node).hello({ cursor, digest: 9n, counts: { services: 100 } }),
  );
}

const namesOf = (agents: readonly ScriptedAgent[]): readonly string[] => agents.map(({ node }) => node).toSorted();

test("whoever reads that nodes are held can confirm it at once: both workers' agents get their state", async () => {
  const workers = new TestingWorkers();
  await using running = await started(withWorkers(workers));
  const agents = await doubted(running, workers);
  const isHeld = ({ node }: ScriptedAgent): boolean => running.fleet.nodes.get(node)?.held !== undefined;
  // The last one has just come: a worker tells its sizes four times a second.
  await running.until(() => agents.every(isHeld), "the fleet to see that all are held");
  const { nodes, removal } = running.pipeline.confirmRemoval("a test");
  assert.deepEqual([nodes.toSorted(), removal], [namesOf(agents), undefined]);
  await Promise.all(agents.map((agent) => agent.untilRevision(1)));
  for (const { held } of agents) assert.equal(held.digest, running.pipeline.catalog.root);
  await running.until(() => !agents.some(isHeld), "the fleet to see that none is held");
  assert.deepEqual([running.pipeline.fanout.heldNodes, running.metric(heldMetric)], [[], 0]);
});

test("a mass removal that lasts goes on at the agents of both workers", async () => {
  const workers = new TestingWorkers();
  await using running = await started({ ...withWorkers(workers), massRemoval: { holdMs: 2_000 } });
  const agents = await doubted(running, workers);
  await Promise.all(agents.map((agent) => agent.untilRevision(1)));
  assert.equal(running.pipeline.fanout.heldNodes.length, 0);
});

test("agents that refuse what they are sent are held likewise, and get a confirmed snapshot", async () => {
  const listed = (word: string): readonly string[] => Array.from({ length: 12 }, (_, i) => `a/${word}${i}`);
  const earlier = await started({ workers: 1, epochMs: Date.now() - 60_000 }, listed("old"));
  const { held: heldOfAll } = earlier.agent("n0").hello();
  await earlier.until(() => heldOfAll.services === 12, "an agent that holds all of them");
  await earlier[Symbol.asyncDispose]();

  const workers = new TestingWorkers();
  await using running = await started(withWorkers(workers), listed("new"));
  const agents = await agentsOfBoth(running, workers, (node) => {
    const held = new HeldResources();
    for (const [id, bytes] of heldOfAll.resources) held.resources.set(id, bytes);
    held.cursor = heldOfAll.cursor;
    return running.agent(node, { held }).hello();
  });
  await running.until(() => running.metric(heldMetric) === agents.length, "the holds");
  assert.ok(agents.every(({ held }) => held.isHolding));
  assert.deepEqual(running.pipeline.confirmRemoval("a test").nodes.toSorted(), namesOf(agents));
  await Promise.all(agents.map((agent) => agent.until(({ held }) => !held.isHolding, "a confirmed snapshot")));
  for (const { held } of agents) assert.equal(held.digest, running.pipeline.catalog.root);
  await running.until(() => running.metric(heldMetric) === 0, "no more holds");
});

test("who leaves, and whose worker fails, is held no more", async () => {
  const workers = new TestingWorkers();
  await using running = await started(withWorkers(workers));
  const [first, ...others] = await doubted(running, workers);
  await running.until(() => running.metric(heldMetric) === others.length + 1, "the holds");
  await first?.close();
  await running.until(() => running.metric(heldMetric) === others.length, "one to be gone");
  const [lost, left] = [1, 2].map((worker) => others.filter(({ node }) => workers.workerOf(node) === worker));
  workers.fail(1);
  await Promise.all((lost ?? []).map(({ ended }) => ended));
  await running.until(() => running.metric(heldMetric) === left?.length, "those of the worker to be gone");
  assert.deepEqual(running.pipeline.confirmRemoval("a test").nodes.toSorted(), namesOf(left ?? []));
  await Promise.all((left ?? []).map((agent) => agent.untilRevision(1)));
});
