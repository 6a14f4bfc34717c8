import assert from "node:assert/strict";
import { it } from "node:test";
import * as fc from "fast-check";
import { Explainer } from "@weft/nodeagent/plan/explain/explainer.ts";
import { planLines } from "@weft/nodeagent/plan/plan-line.ts";
import { planOnce } from "@weft/nodeagent/plan/plan-node.ts";
import { parsePrefix, type Prefix } from "@weft/proto/address.ts";
import { parseFlowLine } from "./flow-line.ts";
import { naiveAnswer, naivePlanLines, type NaiveAnswer, type NaiveWorld } from "./testing/naive-rules.ts";
import { randomFlows, randomWorld } from "./testing/random-world.ts";
import { worldSource } from "./testing/world-source.ts";

const clusters = 1_000;
const flowsEach = 30;

const worldAndFlows = randomWorld.chain((world) => fc.tuple(fc.constant(world), randomFlows(world, flowsEach)));

function explainerOf(world: NaiveWorld): Explainer {
  const { input, node, serviceCidrs, names } = worldSource(world);
  const clusterCidrs = world.clusterCidrs.map(readPrefix);
  return new Explainer(input, node, { clusterCidrs, serviceCidrs, nameOf: (id) => names.get(id) });
}

function readPrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  assert.ok(prefix !== undefined, text);
  return prefix;
}

it(`explains ${flowsEach} flows in each of ${clusters} random clusters as the rules say`, () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(worldAndFlows, ([world, flows]) => {
      const explainer = explainerOf(world);
      for (const flow of flows) {
        const to = flow.to.includes(":") ? `[${flow.to}]:${flow.port}` : `${flow.to}:${flow.port}`;
        const parsed = parseFlowLine(JSON.stringify({ from: flow.from, to, protocol: flow.protocol }));
        assert.ok(parsed.ok);
        const { reason, ...answer } = explainer.answer(parsed.value);
        assert.deepEqual(answer satisfies NaiveAnswer, naiveAnswer(world, flow), JSON.stringify(flow));
        assert.notEqual(reason, "");
        assert.ok(explainer.trail(parsed.value).steps.length > 1);
        const kind = `${answer.verdict} ${answer.frontend ?? "-"}`;
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
      }
    }),
    { numRuns: clusters },
  );
  // A generator that no longer reaches a kind of answer would check nothing.
  const wanted = ["drop -", "pass -", "reject ClusterIP"].concat(
    ["ClusterIP", "LoadBalancerIP", "ExternalIP", "NodePort"].flatMap((kind) =>
      ["forward", "reject", "drop"].map((verdict) => `${verdict} ${kind}`),
    ),
  );
  for (const kind of wanted) assert.ok((seen.get(kind) ?? 0) > 10, `${kind}: ${seen.get(kind) ?? 0}`);
});

it(`plans ${clusters} random clusters of API objects as the rules say`, () => {
  fc.assert(
    fc.property(randomWorld, (world) => {
      const { input, node } = worldSource(world);
      const lines = planLines(planOnce(input, node).plans.flatMap(({ frontends }) => frontends));
      assert.deepEqual(lines.toSorted(), naivePlanLines(world).toSorted());
    }),
    { numRuns: clusters },
  );
});
