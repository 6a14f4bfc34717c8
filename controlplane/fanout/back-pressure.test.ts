/** Agents that take too little, or come at once: what it costs the others. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { create, toBinary } from "@bufbuild/protobuf";
import { GoawayReason, HelloSchema, SyncRequestSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Goaway } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { RunningPipeline, workersOfTests } from "../running-pipeline.ts";
import type { RunningOptions } from "../running-pipeline.ts";
import { endpoints, service } from "../scripted-source.ts";
import { fanoutLimits } from "./fanout-limits.ts";
import { cursorMessage, cursorOf } from "./scripted-agent.ts";
import type { ScriptedAgent } from "./scripted-agent.ts";
import { RawClient, frameTypes } from "./testing-http2-client.ts";

/** For what holds in each worker: which of several gets a connection is chance. */
const oneWorker: RunningOptions = { workers: 1 };

/** Addresses whose backends take far more than the windows and buffers of a connection. */
const many = (round: number, count = 20_000): string[] =>
  Array.from({ length: count }, (_, i) => `10.${round}.${i >> 8}.${i & 255}`);

async function started(options: RunningOptions, addresses: readonly string[] = ["10.1.0.1"]): Promise<RunningPipeline> {
  const running = await RunningPipeline.start(options);
  running.source.give(service("a/b"), endpoints("a/b", addresses));
  running.source.synced();
  await running.until(() => running.head === 1, "the first commit");
  return running;
}

function goawayOf({ arrivals }: ScriptedAgent): Goaway | undefined {
  return arrivals.at(-1)?.response.goaway;
}

function helloOf(name: string): Uint8Array {
  const value = create(HelloSchema, { node: name, instance: 1n, protocol: 1 });
  return toBinary(SyncRequestSchema, create(SyncRequestSchema, { message: { case: "hello", value } }));
}

describe("snapshots that nobody reads", () => {
  test("hold up no other: their turns are lent", async () => {
    const fanout = { snapshotsMax: 2, snapshotStuckMs: 50, snapshotsStuckMax: 10, tickMs: 10 };
    await using running = await started({ limits: { fanout, transfer: { partBytesMax: 2_048 } } }, many(1, 4_000));
    const stalled = Array.from({ length: 5 }, (_, i) => running.agent(`stalled-${i}`).hello());
    for (const agent of stalled) agent.stall();
    await running.until(() => running.metric("weft_fanout_snapshots_stuck") === 5, "all five to be stuck");
    const good = running.agent("good").hello();
    await good.untilRevision(1);
    assert.equal(good.held.digest, running.pipeline.catalog.root);
    for (const agent of stalled) agent.unstall();
    await Promise.all(stalled.map((agent) => agent.untilRevision(1)));
    await running.until(() => running.metric("weft_fanout_snapshots_in_flight") === 0, "the turns to be given back");
  });

  test("nor do those that are read slowly, however long they take; nobody is ended for it", async () => {
    // None counts as stuck within this test.
    const fanout = { snapshotsMax: 1, snapshotStuckMs: 600_000, snapshotTurnMs: 50, snapshotsStuckMax: 2, tickMs: 10 };
    const limits = { fanout, transfer: { partBytesMax: 2_048 } };
    await using running = await started({ ...oneWorker, limits }, many(1, 4_000));
    const slow = Array.from({ length: 2 }, (_, i) => running.agent(`slow-${i}`).hello());
    for (const agent of slow) agent.stall();
    const inFlight = (): number => running.metric("weft_fanout_snapshots_in_flight");
    await running.until(() => inFlight() === 2, "the first to lend its turn to the second");
    const good = running.agent("good").hello();
    await good.untilRevision(1);
    assert.equal(running.metric("weft_fanout_snapshots_stuck"), 2);
    for (const agent of slow) agent.unstall();
    await Promise.all(slow.map((agent) => agent.untilRevision(1)));
    assert.deepEqual(
      [...running.fleet.nodes.values()].map(({ left }) => left),
      [undefined, undefined, undefined],
    );
  });

  test("are bounded: the one that has been stuck longest is ended", async () => {
    const fanout = { snapshotsMax: 1, snapshotStuckMs: 50, snapshotsStuckMax: 2, tickMs: 10, lingerMs: 100 };
    const limits = { fanout, transfer: { partBytesMax: 2_048 } };
    await using running = await started({ ...oneWorker, limits }, many(1, 4_000));
    for (let i = 0; i < 3; i++) {
      const agent = running.agent(`stalled-${i}`).hello();
      agent.stall();
      await running.until(
        () => running.metric("weft_fanout_snapshots_stuck") === Math.min(i + 1, 2),
        "one more to be stuck",
      );
    }
    await running.until(() => running.fleet.nodes.get("stalled-0")?.left === "stalled", "the first to be ended");
    assert.equal(running.fleet.nodes.get("stalled-1")?.left, undefined);
    assert.equal(running.metric("weft_fanout_snapshots_stuck"), 2);
  });
});

describe("digest queries that nobody answers", () => {
  const fanout = { snapshotsMax: 2, snapshotStuckMs: 50, snapshotsStuckMax: 3, tickMs: 10 };
  const other = { digest: 5n, cursor: cursorMessage(cursorOf(1, 1, 1)) };

  test("hold up no other: their turns are lent, and the longest of too many wait for a snapshot instead", async () => {
    // Longer than this test: without lending nobody else gets a turn.
    await using running = await started({ ...oneWorker, limits: { fanout, stream: { digestsMs: 600_000 } } });
    const silent = Array.from({ length: 7 }, (_, i) =>
      running.agent(`silent-${i}`, { doesAnswerDigests: false }).hello(other),
    );
    const good = running.agent("good").hello(other);
    await good.untilRevision(1);
    assert.equal(good.held.digest, running.pipeline.catalog.root);
    // Two more would be needed to crowd out the rest.
    const instead = 'weft_fanout_snapshots_instead_total{reason="unanswered"}';
    await running.until(() => running.metric(instead) === 4, "four to be sent a snapshot");
    await running.until(() => running.metric("weft_fanout_snapshots_stuck") === 3, "three to be stuck");
    // What is counted as begun is on its way.
    const snapshots = (): readonly number[] => silent.map(({ held }) => held.snapshots).toSorted((a, b) => a - b);
    await running.until(() => snapshots().join() === "0,0,0,1,1,1,1", "four snapshots to arrive");
    for (const { node } of silent) assert.equal(running.fleet.nodes.get(node)?.left, undefined);
  });
});

test("a connection that is never read is ended as stalled, and is gone for good", async () => {
  await using running = await started({
    limits: { stream: { stalledMs: 3_000 }, fanout: { tickMs: 20, lingerMs: 100 } },
  });
  const stuck = new RawClient(running.address)
    .start()
    // As much as the other end may ever send.
    .frame("windowUpdate", 0, 0, Buffer.of(0x7f, 0xfe, 0, 0))
    .sync(1)
    .frame("windowUpdate", 0, 1, Buffer.of(0x7f, 0xfe, 0, 0))
    .message(1, helloOf("stuck"))
    .stall();
  const good = running.agent("good").hello();
  await good.untilRevision(1);
  const deadlineMs = performance.now() + 60_000;
  for (let i = 2; running.fleet.nodes.get("stuck")?.left === undefined; i++) {
    assert.ok(performance.now() < deadlineMs);
    running.source.give(endpoints("a/b", many(i)));
    await good.untilRevision(i);
  }
  assert.equal(running.fleet.nodes.get("stuck")?.left, "stalled");
  for (let i = running.head + 1; running.metric("weft_fanout_streams") > 1; i++) {
    assert.ok(performance.now() < deadlineMs);
    running.source.give(endpoints("a/b", [`10.1.${i >> 8}.${i & 255}`]));
    await good.untilRevision(i);
  }
  assert.equal(good.held.digest, running.pipeline.catalog.root);
  stuck.close();
});

describe("agents that come at once", () => {
  test("beyond the burst are told when to come back, and those that are in go on", async () => {
    const pace = { ...fanoutLimits.pace, burst: 3, perSecond: 0.01, retryMaxMs: 10_000 };
    await using running = await started({ limits: { fanout: { pace } } });
    const agents = Array.from({ length: 3 }, (_, i) => running.agent(`n${i}`).hello());
    await Promise.all(agents.map((agent) => agent.untilRevision(1)));
    const late = running.agent("late").hello();
    const { code, details } = await late.ended;
    assert.equal(code, status.UNAVAILABLE);
    assert.match(details, /agents a second say Hello/);
    const goaway = goawayOf(late);
    assert.equal(goaway?.reason, GoawayReason.OVERLOADED);
    assert.ok(goaway.retryAfterMs >= 10_000 && goaway.retryAfterMs <= 12_500, `${goaway.retryAfterMs}`);
    for (const sample of ["hellos_deferred_total", 'streams_ended_total{reason="overloaded"}'])
      await running.until(() => running.metric(`weft_fanout_${sample}`) === 1, sample);
    running.source.give(endpoints("a/b", ["10.1.0.9"]));
    await Promise.all(agents.map((agent) => agent.untilRevision(2)));
  });

  test("beyond the limit of streams likewise", async () => {
    await using running = await started({ ...oneWorker, limits: { fanout: { streamsMax: 1, retryAfterMs: 100 } } });
    const first = running.agent("first").hello();
    await first.untilRevision(1);
    const second = running.agent("second").hello();
    assert.equal((await second.ended).code, status.UNAVAILABLE);
    assert.equal(goawayOf(second)?.reason, GoawayReason.OVERLOADED);
    await first.close();
    await running.until(() => running.metric("weft_fanout_streams") === 0, "the first to be gone");
    await running.agent("third").hello().untilRevision(1);
  });
});

describe("at shutdown", () => {
  test("agents are told to come back one after the other", async () => {
    const running = await started({ ...oneWorker, limits: { fanout: { returnsPerSecond: 20 } } });
    const agents = Array.from({ length: 20 }, (_, i) => running.agent(`n${i}`).hello());
    await Promise.all(agents.map((agent) => agent.untilRevision(1)));
    await running.stop();
    await Promise.all(agents.map((agent) => agent.ended));
    const times = agents.map((agent) => goawayOf(agent)?.retryAfterMs ?? 0).toSorted((a, b) => a - b);
    for (const [i, ms] of times.entries()) assert.ok(ms >= i * 50 && ms <= (i + 1) * 50, `${i}: ${ms}`);
    for (const agent of agents) await agent.close();
  });

  test("one that does not leave is cut in the end, and a newcomer is sent on at once", async () => {
    const running = await started({ limits: { fanout: { drainMs: 2_000 } } });
    // It grants nothing beyond the first window.
    const stalled = new RawClient(running.address).start().sync(1).message(1, helloOf("stalled"));
    await running.until(() => stalled.frames.some(({ type }) => type === frameTypes.data), "its snapshot");
    const deadlineMs = performance.now() + 60_000;
    while (running.metric("weft_fanout_skipped_streams_total") === 0) {
      assert.ok(performance.now() < deadlineMs);
      running.source.give(endpoints("a/b", many(running.head)));
      const next = running.head + 1;
      await running.until(() => running.head === next, "the commit");
    }
    const stopped = running.stop();
    const newcomer = running.agent("newcomer").hello();
    const { code } = await newcomer.ended;
    // Workers close their listener at once, as the program does; here it stays open until all have left.
    const isClosed = workersOfTests > 1 && code === status.UNAVAILABLE;
    if (!isClosed) assert.equal(goawayOf(newcomer)?.reason, GoawayReason.DRAINING);
    await stopped;
    assert.equal(running.metric("weft_fanout_agents"), 0);
    stalled.close();
    await newcomer.close();
  });
});
