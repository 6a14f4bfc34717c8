/**
 * DESIGN P5 and P6 with the real control plane and the real agent: whoever comes back is sent what it lacks and nothing else, and what
 * goes wrong in an agent is found, named, counted and mended.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isSameEpoch } from "@weft/proto/cursor.ts";
import { RunningPipeline } from "@weft/controlplane/running-pipeline.ts";
import type { RunningOptions } from "@weft/controlplane/running-pipeline.ts";
import { endpoints, service } from "@weft/controlplane/scripted-source.ts";
import { encodedBackend, encodedService } from "@weft/nodeagent/sync/described-resources.ts";
import type { EncodedResource } from "@weft/nodeagent/sync/described-resources.ts";
import type { ReceivedPart } from "@weft/nodeagent/sync/received-resource.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import { readPart } from "@weft/nodeagent/sync/received-resource.ts";
import { ResumedNode } from "./resumed-node.ts";

const services = 300;
const name = (i: number): string => `default/web-${i}`;
const address = (i: number, j: number): string => `10.1.${i % 250}.${Math.floor(i / 250) * 100 + j}`;

/** 300 services of 4 endpoints. `change`: the addresses of one of them. */
async function started(
  options: RunningOptions,
  change = new Map<number, readonly string[]>(),
): Promise<RunningPipeline> {
  const running = await RunningPipeline.start(options);
  for (let i = 0; i < services; i++) {
    const addresses = change.get(i) ?? [1, 2, 3, 4].map((j) => address(i, j));
    running.source.give(service(name(i), `10.96.${i >> 8}.${i & 255}`), endpoints(name(i), addresses));
  }
  running.source.synced();
  return running;
}

// Runs the head, and holds just that.
async function follows(node: ResumedNode, { pipeline: { catalog } }: RunningPipeline): Promise<void> {
  await node.until(() => {
    const { active } = node;
    const isHead = active !== undefined && isSameEpoch(active.epoch, catalog.epoch) && active.revision === catalog.head;
    return catalog.head > 0 && isHead && node.store.digest === catalog.root;
  }, "the head");
}

const epochMs = 1_700_000_000_000;

describe("an agent that comes back", () => {
  it("is told the new epoch of a control plane with the same content, and nothing moves", async () => {
    await using node = new ResumedNode("n1");
    {
      await using first = await started({ epochMs });
      await node.start(first.address);
      await follows(node, first);
      await node.stop();
    }
    await using second = await started({ epochMs: epochMs + 1_000 });
    await node.start(second.address);
    const before = node.targets();
    assert.equal(before.length, services * 4);
    await follows(node, second);
    assert.deepEqual(node.targets(), before);
    for (const scope of ["since", "everything", "buckets"]) {
      assert.equal(node.metric(`weft_agent_deltas_received_total{scope="${scope}"}`), 0, scope);
    }
    const sent = second.metric("weft_fanout_sent_bytes_total");
    assert.ok(sent < 200, `${sent} bytes`);
  });

  it("is sent what differs, and only that, by a control plane with other content", async () => {
    await using node = new ResumedNode("n1");
    {
      await using first = await started({ epochMs });
      await node.start(first.address);
      await follows(node, first);
      await node.stop();
    }
    // One backend gone, two changed for others.
    const change = new Map([
      [7, [1, 2, 3].map((j) => address(7, j))],
      [8, [...[1, 2, 3].map((j) => address(8, j)), "10.9.0.8"]],
      [299, [...[1, 2, 3].map((j) => address(299, j)), "10.9.1.44"]],
    ]);
    await using second = await started({ epochMs: epochMs + 1_000 }, change);
    await node.start(second.address);
    await follows(node, second);
    const expected = Array.from(
      { length: services },
      (_, i) => change.get(i) ?? [1, 2, 3, 4].map((j) => address(i, j)),
    );
    assert.deepEqual(node.targets(), expected.flatMap((all) => all.map((one) => `${one}:8080`)).toSorted());
    assert.equal(node.metric('weft_agent_deltas_received_total{scope="everything"}'), 0);
    assert.equal(node.metric('weft_agent_deltas_received_total{scope="buckets"}'), 1);
    // Three backends gone, two new.
    assert.equal(node.metric("weft_agent_repaired_resources_total"), 5);
    assert.equal(second.metric("weft_fanout_repaired_resources_total"), 5);
    // Of 1,502 resources, about 90 KB.
    const sent = second.metric("weft_fanout_sent_bytes_total");
    assert.ok(sent < 700, `${sent} bytes`);
    assert.ok(
      node.logged.some((line) =>
        line.includes("brought here by a repair of what differed: 5 resources: Backend default/web-"),
      ),
    );
  });

  it("is sent what differs when the history does not reach back to it", async () => {
    await using node = new ResumedNode("n1");
    await using running = await started({ epochMs, limits: { catalog: { historyRevisionsMax: 2 } } });
    await node.start(running.address);
    await follows(node, running);
    await node.stop();
    for (let i = 0; i < 5; i++) {
      const head = running.head;
      running.source.give(endpoints(name(i), [address(i, 1)]));
      await node.until(() => running.head > head, "a commit");
    }
    await node.start(running.address);
    await follows(node, running);
    assert.equal(node.targets().length, services * 4 - 15);
    assert.equal(node.metric('weft_agent_deltas_received_total{scope="buckets"}'), 1);
    assert.equal(node.metric("weft_agent_repaired_resources_total"), 15);
  });
});

describe("an agent whose store went wrong", () => {
  const invented = encodedBackend({ service: name(4), address: "10.9.9.9" });
  const changed = encodedService({ name: name(5), clusterIps: ["10.96.0.99"] });

  const partOf = (removed: readonly ResourceId[], put: readonly EncodedResource[]): ReceivedPart => {
    const reading = readPart({ removed, resources: put.map(({ bytes }) => bytes) });
    assert.ok(reading.kind === "part");
    return reading.part;
  };

  it("is found at a heartbeat, and mended by a repair of what is wrong, which both sides name", async () => {
    await using running = await started({
      epochMs,
      limits: { stream: { heartbeatMs: 3_000, firstHeartbeatMs: 1 }, fanout: { tickMs: 10 } },
    });
    await using node = new ResumedNode("n1");
    await node.start(running.address);
    await follows(node, running);
    const live = node.targets();
    const sent = running.metric("weft_fanout_sent_bytes_total");
    const [lost] = [...node.store.resources()].find(([, { kind }]) => kind === "backend") ?? [];
    assert.ok(lost !== undefined);
    node.store.commit([partOf([lost], [invented, changed])], "nothing");
    await node.until(() => running.metric("weft_fanout_repairs_total") === 1, "the repair");
    await follows(node, running);
    await node.until(() => running.logged.some((line) => /holds is revision 1 again/.test(line)), "the verdict");
    assert.deepEqual(node.targets(), live);
    assert.ok(node.metric("weft_agent_digest_mismatches_total") >= 1);
    assert.equal(node.metric("weft_agent_repaired_resources_total"), 3);
    assert.equal(running.metric("weft_fanout_digest_mismatches_total"), 1);
    assert.equal(running.metric("weft_fanout_repaired_resources_total"), 3);
    assert.equal(running.metric("weft_fanout_snapshots_total"), 1);
    const named = /repaired: 3 resources: .*Service default\/web-5/;
    assert.ok(
      running.logged.some((line) => named.test(line)),
      running.logged.join(""),
    );
    assert.ok(
      node.logged.some((line) => named.test(line) && /Backend default\/web-4 10\.9\.9\.9/.test(line)),
      node.logged.join(""),
    );
    // Questions, two resources, one id, and heartbeats.
    assert.ok(running.metric("weft_fanout_sent_bytes_total") - sent < 1_500);
  });

  it("is found when it comes back with what is wrong on its disk, and live", async () => {
    await using running = await started({ epochMs });
    await using node = new ResumedNode("n1");
    await node.start(running.address);
    await follows(node, running);
    const live = node.targets();
    await node.stop();
    node.spoilFile(partOf([], [invented]));
    const head = running.metric("weft_fanout_sent_bytes_total");
    await node.start(running.address);
    assert.deepEqual(node.targets(), [...live, "10.9.9.9:8080"].toSorted());
    await follows(node, running);
    assert.deepEqual(node.targets(), live);
    assert.equal(running.metric("weft_fanout_digest_mismatches_total"), 1);
    assert.equal(node.metric("weft_agent_repaired_resources_total"), 1);
    assert.ok(running.metric("weft_fanout_sent_bytes_total") - head < 400);
  });
});
