/** The three places of DESIGN section 4 in one pipeline: source, stream, mark. Agents are scripted and guard themselves as real ones do. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HeldResources } from "../fanout/held-resources.ts";
import type { ScriptedAgent } from "../fanout/scripted-agent.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import type { RunningOptions } from "../running-pipeline.ts";
import { endpoints, gone, service } from "../scripted-source.ts";

const names = Array.from({ length: 12 }, (_, i) => `shop/s${i}`);
const all = names.flatMap((name, i) => [service(name, `10.96.0.${i + 1}`), endpoints(name, ["10.1.0.1"])]);
const others = names.map((_, i) => service(`shop/other${i}`, `10.96.1.${i + 1}`));
const without = names.flatMap((name) => [gone("EndpointSlice", `${name}-slice`), gone("Service", name)]);
const heartbeats = { stream: { heartbeatMs: 200, firstHeartbeatMs: 20 }, fanout: { tickMs: 20 } };

/** A control plane whose source lists this. */
async function planeOf(of: typeof all, options: RunningOptions = {}): Promise<RunningPipeline> {
  const running = await RunningPipeline.start(options);
  running.source.give(...of);
  running.source.synced();
  await running.until(() => running.head === 1, "the first commit");
  return running;
}

/** What an agent holds after it followed a control plane that lists all 12. */
async function heldOfAll(): Promise<HeldResources> {
  await using before = await planeOf(all, { epochMs: Date.now() - 60_000 });
  const agent = before.agent("n1").hello();
  await agent.untilRevision(1);
  assert.equal(agent.held.services, 12);
  await agent.close();
  agent.held.reconnected();
  return agent.held;
}

/** Heartbeats and Welcome are all that came. */
function gotNoState(agent: ScriptedAgent): boolean {
  return agent.arrivals.every(
    ({ response }) => response.delta === undefined && response.synced === undefined && response.nodeView === undefined,
  );
}

function confirm(running: RunningPipeline): readonly [services: number | undefined, nodes: readonly string[]] {
  const { removal, nodes } = running.pipeline.confirmRemoval("a test");
  return [removal?.services, nodes];
}

describe("a relist that loses most services", () => {
  test("is served as before, goes on when it is confirmed, and is said everywhere", async () => {
    await using running = await planeOf(all);
    const agent = running.agent("n1").hello();
    await agent.untilRevision(1);
    running.source.relist(...without, service("shop/new", "10.96.2.1"));
    await agent.untilRevision(2);
    assert.equal(agent.held.services, 13);
    assert.equal(running.metric("weft_source_mass_removal_services"), 12);
    assert.equal(running.metric("weft_source_mass_removal_holds_total"), 1);
    assert.deepEqual([running.fleet.heldRemoval?.services, running.fleet.heldRemoval?.ofServices], [12, 12]);
    assert.match(
      running.logged.join(""),
      /error mass removal held: the source lacks 12 of 12 services; .*`weft confirm-removal`/,
    );

    assert.deepEqual(confirm(running), [12, []]);
    await agent.untilRevision(3);
    assert.equal(agent.held.services, 1);
    assert.equal(running.metric("weft_source_mass_removal_services"), 0);
    assert.equal(running.metric('weft_source_mass_removal_ends_total{how="confirmed"}'), 1);
    assert.equal(running.fleet.heldRemoval, undefined);
    assert.match(running.logged.join(""), /warn mass removal no longer held: confirmed, .* by="?a test/);
    assert.deepEqual(confirm(running), [undefined, []]);
  });

  test("goes on by itself once it has lasted", async () => {
    await using running = await planeOf(all, { massRemoval: { holdMs: 300 } });
    running.source.relist(...without);
    assert.equal(running.head, 1);
    const fromMs = performance.now();
    await running.until(() => running.head === 2, "the removal");
    assert.ok(performance.now() - fromMs > 250);
    assert.equal(running.pipeline.catalog.services, 0);
    assert.equal(running.metric('weft_source_mass_removal_ends_total{how="lasted"}'), 1);
  });

  test("comes to nothing when the services come back", async () => {
    await using running = await planeOf(all);
    running.source.relist(...without);
    running.source.relist(...all);
    running.source.give(service("shop/new", "10.96.2.1"));
    await running.until(() => running.head === 2, "the addition");
    assert.equal(running.pipeline.catalog.services, 13);
    assert.equal(running.metric('weft_source_mass_removal_ends_total{how="came-back"}'), 1);
  });

  test("is believed at once before the source is synced, and with threshold 0", async () => {
    await using early = await RunningPipeline.start();
    early.source.give(...all);
    early.source.relist(...without);
    early.source.synced();
    await early.until(() => early.head === 1, "the first commit");
    assert.equal(early.pipeline.catalog.services, 0);
    await using off = await planeOf(all, { massRemoval: { thresholdPercent: 0 } });
    off.source.relist(...without);
    await off.until(() => off.head === 2, "the removal");
    assert.equal(off.pipeline.catalog.services, 0);
  });
});

describe("a control plane without history that lists no services", () => {
  test("gives an agent with 12 nothing but heartbeats, until that is confirmed", async () => {
    await using running = await planeOf([], { limits: heartbeats });
    const agent = running.agent("n1", { held: await heldOfAll() }).hello();
    await agent.until(({ arrivals }) => arrivals.length > 4, "heartbeats");
    assert.ok(gotNoState(agent));
    assert.equal(running.metric("weft_fanout_mass_removal_agents"), 1);
    assert.match(running.fleet.nodes.get("n1")?.held ?? "", /the source lists 0 services and this node holds 12/);
    // An agent that has nothing to lose is not delayed.
    await running.agent("n2").hello().untilRevision(1);

    assert.deepEqual(confirm(running), [undefined, ["n1"]]);
    await agent.until(({ held }) => held.services === 0, "the snapshot");
    assert.equal(agent.arrivals.find(({ response }) => response.delta)?.response.delta?.massRemovalConfirmed, true);
    await running.until(() => running.fleet.nodes.get("n1")?.applied === 1, "the ack");
    assert.equal(running.metric("weft_fanout_mass_removal_agents"), 0);
    assert.equal(running.fleet.nodes.get("n1")?.held, undefined);
  });

  test("gives it state once it has been synced for the hold time", async () => {
    await using running = await planeOf([], { massRemoval: { holdMs: 500 } });
    const agent = running.agent("n1", { held: await heldOfAll() }).hello();
    await agent.until(({ held }) => held.services === 0, "the snapshot");
    assert.equal(agent.held.isHolding, false);
  });

  test("tells it that it is up to date when the services come back, without a snapshot", async () => {
    await using running = await planeOf([]);
    const agent = running.agent("n1", { held: await heldOfAll() }).hello();
    await running.until(() => running.metric("weft_fanout_mass_removal_agents") === 1, "the hold");
    running.source.relist(...all);
    await agent.untilRevision(2);
    assert.equal(agent.held.services, 12);
    assert.ok(agent.arrivals.every(({ response }) => response.delta === undefined));
  });

  test("gives it a snapshot when enough services come back, not one cut before", async () => {
    await using running = await planeOf([]);
    // Makes a cut of nothing that newcomers would share.
    await running.agent("n2").hello().untilRevision(1);
    const agent = running.agent("n1", { held: await heldOfAll() }).hello();
    await running.until(() => running.metric("weft_fanout_mass_removal_agents") === 1, "the hold");
    running.source.relist(...all.slice(0, 20));
    await agent.untilRevision(2);
    assert.deepEqual([agent.held.services, agent.held.isHolding], [10, false]);
  });

  test("gives it state at once with threshold 0", async () => {
    await using running = await planeOf([], { massRemoval: { thresholdPercent: 0 } });
    const agent = running.agent("n1", { held: await heldOfAll() }).hello();
    await agent.until(({ held }) => held.services === 0, "the snapshot");
    assert.equal(agent.held.isHolding, false);
  });
});

describe("a control plane without history that lists other services", () => {
  test("gives an agent that refuses them nothing but heartbeats, then one confirmed snapshot", async () => {
    await using running = await planeOf(others, { limits: heartbeats });
    const agent = running.agent("n1", { held: await heldOfAll() }).hello();
    await agent.until(({ held }) => held.isHolding, "the refusal");
    await running.until(() => running.metric("weft_fanout_mass_removal_agents") === 1, "the hold");
    const before = agent.arrivals.length;
    running.source.relist(service("shop/new", "10.96.2.1"));
    await agent.until(({ arrivals }) => arrivals.length > before + 4, "heartbeats");
    for (const { response } of agent.arrivals.slice(before)) {
      assert.deepEqual([response.delta, response.synced, response.nodeView], [undefined, undefined, undefined]);
    }
    assert.deepEqual(confirm(running), [undefined, ["n1"]]);
    await agent.untilRevision(2);
    assert.deepEqual([agent.held.services, agent.held.snapshots], [13, 2]);
    running.source.give(service("shop/newer", "10.96.2.2"));
    await agent.untilRevision(3);
    assert.equal(agent.held.services, 14);
    await running.until(() => running.fleet.nodes.get("n1")?.applied === 3, "the ack");
  });

  test("releases it with a confirmed snapshot when its content is back", async () => {
    await using running = await planeOf(others);
    const agent = running.agent("n1", { held: await heldOfAll() }).hello();
    await running.until(() => running.metric("weft_fanout_mass_removal_agents") === 1, "the hold");
    running.source.give(...all, ...names.map((_, i) => gone("Service", `shop/other${i}`)));
    await agent.untilRevision(2);
    assert.deepEqual([agent.held.services, agent.held.isHolding, agent.held.snapshots], [12, false, 2]);
  });
});

test("a snapshot for an agent of this history is confirmed, however much it removes", async () => {
  await using running = await planeOf(all, { limits: { catalog: { historyRevisionsMax: 1 } } });
  const agent = running.agent("n1").hello();
  await agent.untilRevision(1);
  await agent.close();
  running.source.give(...without);
  await running.until(() => running.head === 2, "the removal");
  running.source.give(service("shop/a", "10.96.2.1"));
  await running.until(() => running.head === 3, "an addition");
  running.source.give(service("shop/b", "10.96.2.2"));
  await running.until(() => running.head === 4, "another");
  agent.held.reconnected();
  const again = running.agent("n1", { held: agent.held }).hello();
  await again.untilRevision(4);
  assert.deepEqual([again.held.services, again.held.isHolding], [2, false]);
  assert.equal(again.arrivals.find(({ response }) => response.delta)?.response.delta?.massRemovalConfirmed, true);
});
