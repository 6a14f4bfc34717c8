import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HeldResources } from "./held-resources.ts";
import type { ScriptedAgent } from "./scripted-agent.ts";
import { started } from "./testing-service.ts";

describe("agents that come back with the same state after a restart with other content", () => {
  // What they hold: of another control plane, with one backend too much.
  const old = async (): Promise<HeldResources> => {
    const held = new HeldResources();
    await using running = await started({ epochMs: 1_000 }, ["10.1.0.1", "10.1.0.2"]);
    await running.agent("n1", { held }).hello().untilRevision(1);
    held.reconnected();
    return held;
  };
  const copyOf = (of: HeldResources): HeldResources => {
    const copy = new HeldResources();
    for (const [id, bytes] of of.resources) copy.resources.set(id, bytes);
    copy.cursor = of.cursor;
    return copy;
  };
  const questions = ({ arrivals }: ScriptedAgent): number =>
    arrivals.filter(({ response }) => response.digestQuery).length;

  test("one is asked, all are sent the same", async () => {
    const held = await old();
    await using running = await started({ epochMs: 2_000 }, ["10.1.0.1"]);
    const agents: ScriptedAgent[] = [];
    for (let i = 0; i < 5; i++) {
      const agent = running.agent(`n${i}`, { held: copyOf(held) }).hello();
      await agent.until(({ held: { cursor } }) => cursor?.epoch.createdMs === 2_000, "the new epoch");
      assert.equal(agent.held.digest, running.pipeline.catalog.root);
      agents.push(agent);
    }
    assert.deepEqual(agents.map(questions), [2, 0, 0, 0, 0]);
    assert.deepEqual(
      agents.map((agent) => agent.held.repaired),
      [1, 1, 1, 1, 1],
    );
  });

  test("one that gives the digest of others is found by the heartbeat after the repair", async () => {
    const held = await old();
    await using running = await started({ epochMs: 2_000 }, ["10.1.0.1"]);
    const honest = running.agent("n1", { held: copyOf(held) }).hello();
    await honest.until((agent) => agent.held.cursor?.epoch.createdMs === 2_000, "the new epoch");
    const odd = copyOf(held);
    const [first] = odd.resources.keys();
    if (first !== undefined) odd.resources.delete(first);
    const liar = running.agent("n2", { held: odd }).hello({ digest: held.digest });
    await running.until(() => running.metric("weft_fanout_digest_mismatches_total") === 1, "the mismatch");
    await liar.until(() => odd.digest === running.pipeline.catalog.root, "the repair");
    assert.equal(questions(liar), 2);
  });
});
