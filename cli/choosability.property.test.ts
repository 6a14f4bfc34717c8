import assert from "node:assert/strict";
import { it } from "node:test";
import * as fc from "fast-check";
import { ChoosabilityIndex } from "@weft/controlplane/fleet/choosability.ts";
import { planNode } from "@weft/nodeagent/plan/plan-input.ts";
import { planOnce } from "@weft/nodeagent/plan/plan-node.ts";
import { printSocketAddress } from "@weft/proto/address.ts";
import { revision } from "@weft/proto/cursor.ts";
import { noTriggers } from "@weft/proto/trigger-times.ts";
import { randomWorld } from "./testing/random-world.ts";
import { worldSource } from "./testing/world-source.ts";

it("what a drained wait calls drained no node chooses, copies that disagree included", () => {
  let chosen = 0;
  fc.assert(
    fc.property(randomWorld, (world) => {
      const { input, resources } = worldSource(world);
      const index = new ChoosabilityIndex();
      index.apply({ revision: revision(1), puts: resources, removals: [], replaced: new Map(), triggers: noTriggers });
      for (const name of ["n1", "n2", "n3", "n4"]) {
        for (const zone of ["", "z1", "z2"]) {
          const { plans } = planOnce(input, planNode(name, zone, []));
          for (const { address, port } of plans.flatMap(({ frontends }) =>
            frontends.flatMap(({ targets }) => [...targets]),
          )) {
            const { kind } = index.of({ address, port });
            assert.ok(
              kind === "choosable" || kind === "fallback",
              `${name}: ${printSocketAddress(address, port)} is ${kind}`,
            );
            chosen++;
          }
        }
      }
    }),
    { numRuns: 600 },
  );
  assert.ok(chosen > 6_000, `${chosen} targets were checked`);
});
