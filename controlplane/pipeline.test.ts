import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { silentLog } from "@weft/proto/program/log.ts";
import { Metrics } from "@weft/proto/program/metrics.ts";
import { flushCapMs } from "./commit-rule.ts";
import type { CommitLog } from "./log/commit-log.ts";
import { MemoryLog } from "./log/memory-log.ts";
import { Pipeline } from "./pipeline.ts";
import { RecordingFleet } from "./recording-fleet.ts";
import { RunningPipeline } from "./running-pipeline.ts";
import { ScriptedSource, endpoints, gone, node, service } from "./scripted-source.ts";

describe("the pipeline", () => {
  test("commits nothing before the source is synced, then all of it as revision 1", async () => {
    await using running = await RunningPipeline.start();
    running.source.give(service("a/b"), node("n1"));
    running.source.give(endpoints("a/b", ["10.1.0.1"]));
    await new Promise(setImmediate);
    assert.equal(running.head, 0);
    assert.equal(running.pipeline.isReady, false);
    assert.equal(running.fleet.isSynced, false);
    running.source.synced();
    await running.until(() => running.head === 1, "the commit");
    assert.equal(running.pipeline.isReady && running.fleet.isSynced, true);
    assert.deepEqual(running.fleet.known, new Set(["n1"]));
  });

  test("a batch that changes nothing for an agent is no revision", async () => {
    await using running = await RunningPipeline.start();
    running.source.give(service("a/b"));
    running.source.synced();
    await running.until(() => running.head === 1, "the commit");
    running.source.give(service("a/b"), endpoints("c/unknown", ["10.1.0.1"]), node("n2"));
    running.source.give(gone("Service", "never/there"));
    running.source.give(service("a/c", "10.96.0.2"));
    await running.until(() => running.head === 2, "the second commit");
    const last = running.fleet.commits.at(-1);
    assert.deepEqual(
      last?.commit.puts.map(({ name }) => name),
      ["a/c"],
    );
    assert.deepEqual(running.fleet.known, new Set(["n2"]));
  });

  test("a commit is told with the size of its delta", async () => {
    await using running = await RunningPipeline.start();
    running.source.give(service("a/b"));
    running.source.synced();
    const agent = running.agent("n1").hello();
    await agent.untilRevision(1);
    running.source.give(endpoints("a/b", ["10.1.0.1"]));
    await agent.untilRevision(2);
    assert.equal(agent.arrivals.at(-1)?.bytes, running.fleet.commits.at(-1)?.bytes);
  });

  test("while one stream is stuck, commits go on after the cap", async () => {
    await using running = await RunningPipeline.start();
    running.source.give(service("a/b"));
    running.source.synced();
    const [stuck, good] = [running.agent("stuck").hello(), running.agent("good").hello()];
    await Promise.all([stuck.untilRevision(1), good.untilRevision(1)]);
    stuck.stall();
    for (let i = 0; running.metric("weft_fanout_skipped_streams_total") < 5; i++) {
      const addresses = Array.from({ length: 1_000 }, (_, k) => `10.${i}.${k >> 8}.${k & 255}`);
      running.source.give(endpoints("a/b", addresses));
      await good.untilRevision(running.head + 1);
    }
    assert.equal(good.held.digest, running.pipeline.catalog.root);
  });

  const failing: readonly [
    name: string,
    message: RegExp,
    options: Partial<{ source: ScriptedSource; history: CommitLog }>,
  ][] = [
    [
      "the log fenced it",
      /fenced off/,
      {
        history: Object.assign(new MemoryLog(1, 1), {
          append: () => Promise.resolve({ kind: "fenced", reason: "fenced off" } as const),
        }),
      },
    ],
    [
      "the source failed",
      /no more source/,
      { source: Object.assign(new ScriptedSource(), { run: () => Promise.reject(new Error("no more source")) }) },
    ],
  ];
  for (const [name, message, parts] of failing) {
    test(`ends with an error when ${name}`, async () => {
      const source = parts.source ?? new ScriptedSource();
      const pipeline = await Pipeline.open({
        source,
        history: parts.history ?? new MemoryLog(1, 1),
        fleet: new RecordingFleet(),
        log: silentLog,
        metrics: new Metrics(),
        version: "0",
      });
      const running = pipeline.run(new AbortController().signal);
      if (parts.source === undefined) source.synced();
      await assert.rejects(running, message);
    });
  }
});

test("the cap of a commit's wait grows with the last flush, between its bounds", () => {
  assert.deepEqual([0, 50, 200, 1_000_000].map(flushCapMs), [100, 100, 300, 5_000]);
});
