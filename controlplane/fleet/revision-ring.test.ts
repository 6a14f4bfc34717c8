import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { revision } from "@weft/proto/cursor.ts";
import fc from "fast-check";
import { RevisionRing, revisionsRememberedMax } from "./revision-ring.ts";
import type { RememberedRevision } from "./revision-ring.ts";
import { stepsAt } from "./testing-resources.ts";

const slotsMax = 70;

function bits(slots: readonly number[]): Uint32Array {
  const words = new Uint32Array(3);
  for (const slot of slots) words[slot >> 5] = (words[slot >> 5] ?? 0) | (1 << (slot & 31));
  return words;
}

function commit(ring: RevisionRing, of: number, connected: readonly number[]): void {
  ring.committed({
    revision: revision(of),
    puts: 1,
    removals: 0,
    bytes: 100,
    services: [],
    committedAtUs: of * 1_000,
    steps: stepsAt(of * 1_000),
    slots: bits(connected),
    connected: connected.length,
  });
}

const summary = (of: RememberedRevision | undefined): unknown =>
  of && {
    acks: of.acks.map(({ slot, revision: at, ackedAtUs, wasConnected }) => [slot, at, ackedAtUs, wasConnected]),
    missing: of.missing,
  };

type Event =
  | { readonly kind: "commit"; readonly connected: readonly number[] }
  | { readonly kind: "ack"; readonly slot: number; readonly behind: number };

const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({
    kind: fc.constant("commit" as const),
    connected: fc
      .uniqueArray(fc.integer({ min: 0, max: slotsMax - 1 }), { maxLength: 12 })
      .map((of) => of.toSorted((a, b) => a - b)),
  }),
  fc.record({
    kind: fc.constant("ack" as const),
    slot: fc.integer({ min: 0, max: slotsMax - 1 }),
    behind: fc.integer({ min: 0, max: 3 }),
  }),
);

describe("remembered revisions", () => {
  test("are what a list of everything says, or not remembered at all", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 120 }), fc.integer({ min: 1, max: 40 }), (events, acksMax) => {
        const ring = new RevisionRing(acksMax);
        const commits: (readonly number[])[] = [];
        const acks: { readonly slot: number; readonly at: number; readonly us: number }[] = [];
        const applied = new Map<number, number>();
        let forgotten = 0;
        for (const [us, of] of events.entries()) {
          if (of.kind === "commit") {
            commits.push(of.connected);
            commit(ring, commits.length, of.connected);
          } else {
            const at = commits.length - of.behind;
            if (at <= (applied.get(of.slot) ?? 0)) continue;
            applied.set(of.slot, at);
            acks.push({ slot: of.slot, at, us });
            ring.acked(of.slot, revision(at), us);
          }
        }
        for (const [i, connected] of commits.entries()) {
          const at = i + 1;
          const read = ring.read(revision(at));
          if (read === undefined) {
            forgotten++;
            assert.ok(ring.range === undefined || at < ring.range.first);
            continue;
          }
          const first = new Map<number, (typeof acks)[number]>();
          for (const ack of acks) if (ack.at >= at && !first.has(ack.slot)) first.set(ack.slot, ack);
          assert.deepEqual(summary(read), {
            acks: [...first.values()].map((ack) => [ack.slot, ack.at, ack.us, connected.includes(ack.slot)]),
            missing: connected.filter((slot) => !first.has(slot)),
          });
        }
        // Nothing is forgotten that there was room for.
        if (acks.length <= acksMax) assert.equal(forgotten, 0);
      }),
      { numRuns: 400 },
    );
  });

  test("are bounded in number, and go with their acks", () => {
    const ring = new RevisionRing();
    for (let of = 1; of <= revisionsRememberedMax * 3; of++) {
      commit(ring, of, [0, 1]);
      ring.acked(0, revision(of), of);
      ring.acked(1, revision(of), of);
    }
    assert.deepEqual(ring.range, { first: revisionsRememberedMax * 2 + 1, last: revisionsRememberedMax * 3 });
    assert.equal(ring.read(revision(revisionsRememberedMax * 2 + 1))?.acks.length, 2);
  });

  test("make room as acks come, also where the ring has turned", () => {
    const ring = new RevisionRing(4_096);
    for (let of = 1; of <= 300; of++) {
      commit(ring, of, [0, 1, 2]);
      for (const slot of [0, 1, 2]) ring.acked(slot, revision(of), of);
    }
    commit(ring, 301, [0]);
    for (let slot = 0; slot < 3_000; slot++) ring.acked(slot, revision(301), 1_000 + slot);
    const { acks } = ring.read(revision(301)) ?? { acks: [] };
    assert.deepEqual(
      acks.map(({ slot, ackedAtUs }) => ackedAtUs - slot),
      Array.from({ length: 3_000 }, () => 1_000),
    );
    assert.equal(ring.read(revision(300))?.acks.length, 3_000);
  });

  test("say when the last write was on its way, and how an agent measured its round", () => {
    const ring = new RevisionRing();
    commit(ring, 1, [3]);
    ring.flushed(revision(1), 1_500);
    const durations = { receivedToActiveUs: 400, planUs: 100, stageUs: 50, persistUs: 25 };
    ring.acked(3, revision(1), 2_000, durations, 7);
    const read = ring.read(revision(1));
    assert.equal(read?.flushedAtUs, 1_500);
    assert.deepEqual(read?.acks[0]?.durations, durations);
    assert.equal(read?.acks[0]?.failuresTotal, 7);
  });

  test("forget a node whose slot is given to another", () => {
    const ring = new RevisionRing();
    commit(ring, 1, [3, 4]);
    ring.acked(3, revision(1), 1);
    ring.forgotten(3);
    ring.forgotten(4);
    assert.deepEqual(summary(ring.read(revision(1))), { acks: [], missing: [] });
  });

  test("end with their epoch", () => {
    const ring = new RevisionRing();
    commit(ring, 1, [3]);
    ring.acked(3, revision(1), 1);
    ring.epochStarted();
    assert.equal(ring.read(revision(1)), undefined);
    commit(ring, 1, [3]);
    assert.deepEqual(summary(ring.read(revision(1))), { acks: [], missing: [3] });
  });
});
