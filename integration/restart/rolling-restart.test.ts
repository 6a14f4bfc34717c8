/** The control plane is stopped and started again while real agents follow it: they go on serving, come back by themselves, and nothing moves. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isSameEpoch } from "@weft/proto/cursor.ts";
import { RunningPipeline } from "@weft/controlplane/running-pipeline.ts";
import { endpoints, service } from "@weft/controlplane/scripted-source.ts";
import { ResumedNode } from "../resume/resumed-node.ts";

const nodesCount = 20;
const services = 100;
const name = (i: number): string => `default/web-${i}`;
const addresses = (i: number): readonly string[] => [1, 2, 3].map((j) => `10.1.${i}.${j}`);

async function started(epochMs: number, port = 0): Promise<RunningPipeline> {
  // 20 agents are few: told to come back 10 a second they are spread over 2 s.
  const running = await RunningPipeline.start({ epochMs, port, limits: { fanout: { returnsPerSecond: 10 } } });
  for (let i = 0; i < services; i++) {
    running.source.give(service(name(i), `10.96.0.${i}`), endpoints(name(i), addresses(i)));
  }
  running.source.synced();
  return running;
}

describe("a rolling restart of the control plane", () => {
  const nodes = Array.from({ length: nodesCount }, (_, i) => new ResumedNode(`n${i}`));
  let running: RunningPipeline;

  async function allFollow(): Promise<void> {
    const { catalog } = running.pipeline;
    for (const node of nodes) {
      await node.until(() => {
        const { active } = node;
        return (
          active !== undefined &&
          catalog.head > 0 &&
          isSameEpoch(active.epoch, catalog.epoch) &&
          active.revision === catalog.head &&
          node.store.digest === catalog.root
        );
      }, "the head");
    }
  }

  before(async () => {
    running = await started(1_700_000_000_000);
    for (const node of nodes) await node.start(running.address);
    await allFollow();
  });
  after(async () => {
    for (const node of nodes) await node[Symbol.asyncDispose]();
    await running[Symbol.asyncDispose]();
  });

  it("tells every agent when to come back, and sends nothing to those that do", async () => {
    const live = nodes.map((node) => node.targets());
    const port = Number(running.address.split(":")[1]);
    await running.stop();
    assert.deepEqual(
      nodes.map((node) => node.targets()),
      live,
      "served without a control plane",
    );
    running = await started(1_700_000_001_000, port);
    await allFollow();
    assert.deepEqual(
      nodes.map((node) => node.targets()),
      live,
    );
    for (const node of nodes) {
      assert.equal(node.metric('weft_agent_streams_ended_total{cause="goaway"}'), 1);
      assert.equal(
        node.metric('weft_agent_deltas_received_total{scope="everything"}'),
        1,
        "the one of the first start",
      );
      assert.equal(node.metric('weft_agent_deltas_received_total{scope="buckets"}'), 0);
      assert.ok(node.logged.some((line) => line.includes("the control plane shuts down")));
    }
    assert.equal(running.metric("weft_fanout_snapshots_total"), 0);
    assert.equal(running.metric("weft_fanout_streams_opened_total"), nodesCount);
  });

  it("goes on with the next change", async () => {
    running.source.give(endpoints(name(3), ["10.1.3.9"]));
    const next = running.head + 1;
    await nodes[0]?.until(() => running.head === next, "the commit");
    await allFollow();
    for (const node of nodes) {
      assert.ok(node.targets().includes("10.1.3.9:8080"));
      assert.equal(node.metric('weft_agent_deltas_received_total{scope="since"}'), 1);
    }
  });
});
