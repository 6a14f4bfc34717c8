/** A storm, stream by stream: who is served first when many need state and few may be served at a time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cursor } from "@weft/proto/cursor.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import { endpoints, service } from "../scripted-source.ts";
import { HeldResources } from "./held-resources.ts";
import { cursorOf } from "./scripted-agent.ts";
import type { ScriptedAgent } from "./scripted-agent.ts";

const count = { old: 15, foreign: 120 };
/** Every fourth turn is for agents that come from another history. */
const foreignEvery = 4;
/** Of a control plane before this one. */
const elsewhere = cursorOf(1, 1, 1);
const turns = { snapshotsMax: 1, snapshotsStuckMax: 1, snapshotStuckMs: 600_000 };

function addresses(round: number): readonly string[] {
  return Array.from({ length: 200 }, (_, i) => `10.${round}.0.${i}`);
}

/** The same without its resource number `lacking`, so that each agent is asked what it holds. */
function without(lacking: number, resources: HeldResources["resources"], cursor: Cursor | undefined): HeldResources {
  const held = new HeldResources();
  const ids = [...resources.keys()];
  for (const [id, bytes] of resources) if (id !== ids[1 + lacking]) held.resources.set(id, bytes);
  held.cursor = cursor;
  return held;
}

test("agents with an old state go before those of another history, and those that are up to date wait for nobody", async () => {
  const limits = {
    fanout: turns,
    catalog: { historyRevisionsMax: 1 },
    stream: { digestsMs: 600_000 },
  };
  // Each worker has turns of its own.
  await using running = await RunningPipeline.start({ limits, workers: 1 });
  running.source.give(service("a/b"), endpoints("a/b", addresses(1)));
  running.source.synced();
  const reader = running.agent("reader").hello();
  await reader.untilRevision(1);
  const old = { resources: new Map(reader.held.resources), cursor: reader.held.cursor };
  for (let revision = 2; revision <= 4; revision++) {
    running.source.give(endpoints("a/b", addresses(revision)));
    await reader.untilRevision(revision);
  }

  // Until it goes nobody else has a turn.
  const holder = running.agent("holder", { doesAnswerDigests: false, held: without(150, old.resources, elsewhere) });
  holder.hello();
  await running.until(() => running.metric("weft_fanout_snapshots_in_flight") === 1, "the turn to be taken");

  const order: string[] = [];
  const asked = (agent: ScriptedAgent): Promise<void> =>
    agent
      .until(({ arrivals }) => arrivals.some(({ response }) => response.digestQuery), "its question")
      .then(() => void order.push(agent.node));
  const head = reader.held.resources;
  const foreign = Array.from({ length: count.foreign }, (_, i) =>
    running.agent(`foreign-${i}`, { held: without(i, head, elsewhere) }).hello(),
  );
  await running.until(() => running.metric("weft_fanout_snapshots_waiting") === count.foreign, "these to wait");
  const behind: ScriptedAgent[] = [];
  for (let i = 0; i < count.old; i++) {
    behind.push(running.agent(`old-${i}`, { held: without(i, old.resources, old.cursor) }).hello());
    await running.until(() => running.metric("weft_fanout_snapshots_waiting") === count.foreign + i + 1, "one more");
  }
  const upToDate = without(head.size, head, elsewhere);
  await running.agent("up-to-date", { held: upToDate }).hello().untilRevision(4);
  assert.deepEqual([upToDate.snapshots, upToDate.repairs], [0, 0]);
  assert.equal(running.metric("weft_fanout_snapshots_waiting"), count.foreign + count.old);

  const served = [...foreign, ...behind].map(asked);
  await holder.close();
  await Promise.all(served);
  await Promise.all([...foreign, ...behind].map((agent) => agent.untilRevision(4)));
  for (const { held } of [...foreign, ...behind]) assert.equal(held.digest, running.pipeline.catalog.root);

  const places = behind.map(({ node }) => order.indexOf(node));
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
    "in order of asking",
  );
  const until = (places.at(-1) ?? 0) + 1;
  // All turns before belong to them but every fourth; where the count of turns stands is not known.
  const most = Math.ceil((count.old * foreignEvery) / (foreignEvery - 1));
  assert.ok(until <= most, `the last one with an old state had turn ${until} of ${order.length}, not before ${most}`);
  assert.ok(until - count.old >= Math.floor(until / foreignEvery), "the others are not starved");
});
