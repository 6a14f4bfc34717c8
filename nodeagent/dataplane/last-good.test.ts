import assert from "node:assert/strict";
import { it } from "node:test";
import { describedAddress } from "../plan/described-cluster.ts";
import { frontendKey, type Frontend } from "../plan/frontend.ts";
import { Targets, type Target } from "../plan/targets.ts";
import type { ServicePlan } from "./dataplane.ts";
import { keepLastGood } from "./last-good.ts";

type Lists = Readonly<Record<string, readonly number[]>>;

/** Ports and the last byte of their targets; an empty list is a drop. */
const cases: readonly { readonly is: string; readonly held: Lists; readonly wanted: Lists; readonly kept: Lists }[] = [
  { is: "backends that joined are not added", held: { 1: [1, 2] }, wanted: { 1: [1, 2, 3] }, kept: { 1: [1, 2] } },
  { is: "backends that left are taken out", held: { 1: [1, 2, 3] }, wanted: { 1: [2, 4, 5, 6] }, kept: { 1: [2] } },
  {
    is: "a frontend that has none now has none",
    held: { 1: [1, 2], 2: [1, 2] },
    wanted: { 1: [1, 2], 2: [] },
    kept: { 1: [1, 2], 2: [] },
  },
  {
    is: "a frontend that is gone keeps what others may choose",
    held: { 1: [1, 2] },
    wanted: { 2: [2, 3] },
    kept: { 1: [2] },
  },
  { is: "a new frontend is not added", held: { 1: [1] }, wanted: { 1: [1, 2], 2: [1, 2] }, kept: { 1: [1] } },
  {
    is: "lists that part stay apart while they need no more room",
    held: { 1: [1, 2, 3], 2: [1, 2, 3] },
    wanted: { 1: [1], 2: [2, 3] },
    kept: { 1: [1], 2: [2, 3] },
  },
  {
    is: "lists that part and would need more room keep what they have in common",
    held: { 1: [1, 2, 3], 2: [1, 2, 3] },
    wanted: { 1: [1, 2], 2: [2, 3] },
    kept: { 1: [2], 2: [2] },
  },
];

for (const { is, held, wanted, kept } of cases) {
  it(is, () => {
    const before = planOf(held);
    const after = keepLastGood(before, planOf(wanted), () => false);
    const lists = Object.fromEntries(after.frontends.map(({ port, targets }) => [port, targets.map(lastByte)]));
    assert.deepEqual(lists, kept);
    for (const { action, targets } of after.frontends) assert.equal(action, targets.length > 0 ? "forward" : "drop");
    assert.ok(sizeOf(after) <= sizeOf(before), "nothing is needed to stage it");
  });
}

it("gives up what another service holds from now on", () => {
  const held = planOf({ 1: [1], 2: [1] });
  const taken = frontendKey(held.frontends[0] ?? assert.fail());
  const after = keepLastGood(held, planOf({ 2: [1, 2] }), (key) => key === taken);
  assert.deepEqual(after.frontends, [held.frontends[1]]);
});

// Frontends of equal lists share them.
function planOf(lists: Lists): ServicePlan {
  const shared = new Map<string, Targets>();
  const frontends = Object.entries(lists).map(([port, list]): Frontend => {
    const targets =
      shared.get(list.join()) ??
      Targets.of(list.map((last): Target => ({ address: describedAddress(`10.0.0.${last}`), port: 80 })));
    shared.set(list.join(), targets);
    return {
      address: describedAddress("172.30.0.1"),
      port: Number(port),
      protocol: "TCP",
      scope: "internal",
      kind: "ClusterIP",
      servicePort: "a/web",
      action: targets.length > 0 ? "forward" : "drop",
      targets,
      affinitySeconds: 0,
      sourceRanges: undefined,
    };
  });
  return { service: "a/web", frontends, rejectAddresses: [], passAddresses: [] };
}

function sizeOf({ frontends }: ServicePlan): number {
  return [...new Set(frontends.map(({ targets }) => targets))].reduce((sum, { length }) => sum + length, 0);
}

function lastByte({ address }: Target): number {
  return Number(address.split(".").at(-1));
}
