import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Revision } from "@weft/proto/cursor.ts";
import { Convergence, revisionsFollowedMax } from "./convergence.ts";

const at = (revision: number): Revision => revision as Revision;

function of(nodes: number): Convergence {
  const convergence = new Convergence();
  for (let slot = 0; slot < nodes; slot++) convergence.connected(slot);
  return convergence;
}

test("tells when half, 90, 99 and 100 % of the nodes have a revision", () => {
  const convergence = of(200);
  convergence.committed(at(1), 1_000);
  const seen: string[] = [];
  for (let slot = 0; slot < 200; slot++) {
    for (const { percent, elapsedUs, nodes } of convergence.acked(slot, at(0), at(1), 1_000 + slot + 1)) {
      seen.push(`${percent} % of ${nodes} after ${elapsedUs}`);
    }
  }
  assert.deepEqual(seen, [
    "50 % of 200 after 100",
    "90 % of 200 after 180",
    "99 % of 200 after 198",
    "100 % of 200 after 200",
  ]);
});

test("one node is all percents at once, and an ack counts for every revision before it", () => {
  const convergence = of(1);
  for (const revision of [1, 2, 3]) convergence.committed(at(revision), revision);
  const seen = convergence.acked(0, at(0), at(2), 10).map(({ revision, percent }) => `${revision}:${percent}`);
  assert.deepEqual(seen, ["1:50", "1:90", "1:99", "1:100", "2:50", "2:90", "2:99", "2:100"]);
  assert.deepEqual(convergence.acked(0, at(0), at(2), 11), []);
  assert.equal(convergence.revisionsOpen, 1);
});

test("a node that came after the commit does not count, one that left does and is waited for", () => {
  const convergence = of(2);
  convergence.committed(at(1), 0);
  convergence.connected(2);
  convergence.disconnected(1);
  assert.deepEqual(convergence.acked(2, at(0), at(1), 5), []);
  assert.deepEqual(
    convergence.acked(0, at(0), at(1), 6).map(({ percent }) => percent),
    [50],
  );
  convergence.connected(1);
  assert.deepEqual(
    convergence.acked(1, at(0), at(1), 7).map(({ percent, elapsedUs }) => [percent, elapsedUs]),
    [
      [90, 7],
      [99, 7],
      [100, 7],
    ],
  );
});

test("a slot that is given to another node owes nothing of the one before", () => {
  const convergence = of(2);
  convergence.committed(at(1), 0);
  convergence.forgotten(1);
  convergence.connected(1);
  assert.deepEqual(convergence.acked(1, at(0), at(1), 5), []);
});

test("history is bounded, and the time of a commit is known within it", () => {
  const convergence = of(1);
  for (let revision = 1; revision <= revisionsFollowedMax + 5; revision++)
    convergence.committed(at(revision), revision * 10);
  assert.equal(convergence.committedAtUs(at(5)), undefined);
  assert.equal(convergence.committedAtUs(at(6)), 60);
  assert.equal(convergence.committedAtUs(at(revisionsFollowedMax + 6)), undefined);
  assert.equal(convergence.acked(0, at(0), at(revisionsFollowedMax + 5), 1e6).length, revisionsFollowedMax * 4);
});

const step = fc.oneof(
  fc.record({ kind: fc.constant("commit" as const), node: fc.constant(0) }),
  fc.record({ kind: fc.constantFrom("connect" as const, "disconnect" as const, "ack" as const), node: fc.nat(70) }),
);

test("any interleaving reports each share once, when the nodes that were there have acked", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
      const convergence = new Convergence();
      const there = new Set<number>();
      const applied = new Map<number, number>();
      const members: Set<number>[] = [new Set()];
      const acked: Set<number>[] = [new Set()];
      const reported = new Map<number, number>();
      for (const { kind, node } of steps) {
        const head = members.length - 1;
        if (kind === "commit") {
          convergence.committed(at(members.length), 0);
          members.push(new Set(there));
          acked.push(new Set());
        } else if (kind === "connect") {
          there.add(node);
          convergence.connected(node);
        } else if (kind === "disconnect") {
          there.delete(node);
          convergence.disconnected(node);
        } else if (there.has(node)) {
          const before = applied.get(node) ?? 0;
          for (let revision = 1; revision <= head; revision++)
            if (members[revision]?.has(node) === true) acked[revision]?.add(node);
          applied.set(node, head);
          for (const { revision, percent, nodes } of convergence.acked(node, at(before), at(head), 1)) {
            assert.ok(percent > (reported.get(revision) ?? 0), "twice or out of order");
            reported.set(revision, percent);
            assert.equal(nodes, members[revision]?.size);
          }
        }
        for (const [revision, nodes] of members.entries()) {
          const share = ((acked[revision]?.size ?? 0) * 100) / Math.max(1, nodes.size);
          const expected = nodes.size === 0 ? 0 : ([100, 99, 90, 50].find((percent) => share >= percent) ?? 0);
          assert.equal(reported.get(revision) ?? 0, expected);
        }
      }
    }),
  );
});
