import assert from "node:assert/strict";
import { test } from "node:test";
import { answerTo } from "./doubt.ts";
import type { Doubt } from "./doubt.ts";
import type { World } from "./stream-state.ts";

const massRemoval = { thresholdPercent: 50, servicesMin: 10, holdMs: 60_000 };

const answers: readonly [name: string, doubt: Doubt, head: { root: bigint; services: number }, answer: string][] = [
  [
    "holds what the head holds",
    { by: "control-plane", digest: 5n, services: 20 },
    { root: 5n, services: 20 },
    "synced",
  ],
  ["holds more than the head", { by: "control-plane", digest: 6n, services: 20 }, { root: 5n, services: 9 }, "hold"],
  [
    "holds nothing, as the head, but more is live",
    { by: "control-plane", digest: 0n, services: 20 },
    { root: 0n, services: 0 },
    "hold",
  ],
  ["the same, and refused it", { by: "agent", digest: 0n, services: 20 }, { root: 0n, services: 0 }, "hold"],
  [
    "refused, and holds what the head holds",
    { by: "agent", digest: 5n, services: 20 },
    { root: 5n, services: 20 },
    "snapshot",
  ],
];

for (const [name, doubt, head, answer] of answers) {
  test(`an agent that ${name}: ${answer}`, () => {
    const world: Pick<World, "root" | "services" | "massRemoval" | "isRemovalConfirmed"> = {
      ...head,
      massRemoval,
      isRemovalConfirmed: false,
    };
    assert.equal(answerTo(doubt, world as World).kind, answer);
  });
}
