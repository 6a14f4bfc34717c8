import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { revision } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import { AckSchema, FailureCategory } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { noTriggers } from "@weft/proto/trigger-times.ts";
import { madeService } from "../catalog/made-resources.ts";
import { nobody, SteadyStreams } from "./steady-streams.ts";
import type { Slotted } from "./steady-streams.ts";
import { greetingStream } from "./stream-state.ts";
import type { Effect, OpenStream, StreamEvent, StreamState, World } from "./stream-state.ts";
import { step } from "./stream-step.ts";
import { need, nowMs, open, transferOf, world } from "./testing-streams.ts";
import { Transfer } from "./transfer.ts";

const heads = 6;

// Revisions up to `floor` are compacted; a delta from the first one kept has several parts.
function worldAt(head: number, floor: number): World {
  const resources = ["a", "b", "c", "d"].map((name) => madeService(name));
  const deltas = new Map<Revision, Transfer>();
  const delta = (from: Revision): Transfer | undefined => {
    if (from < floor) return undefined;
    const puts = from === floor ? resources : resources.slice(0, 1);
    const of = { kind: "operations", from, to: revision(head), puts, removed: [], triggers: noTriggers } as const;
    const made = deltas.get(from) ?? Transfer.delta(of, from === floor ? 150 : 1_000);
    deltas.set(from, made);
    return made;
  };
  return { ...world, head: revision(head), isSynced: head > 0, delta };
}

const worlds = fc
  .record({ head: fc.nat(heads), floor: fc.nat(2) })
  .map(({ head, floor }) => worldAt(head, Math.min(floor, head)));

const at = fc.integer({ min: 0, max: heads }).map((number) => revision(number));
const rarely = fc.oneof({ weight: 15, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });
const progress = fc.oneof(
  { weight: 8, arbitrary: at.map((cursor) => ({ kind: "following", cursor }) as const) },
  { weight: 1, arbitrary: fc.constant({ kind: "queued", need } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: "transferring", transfer: transferOf(revision(3)), next: 1 } as const) },
);
const states: fc.Arbitrary<OpenStream> = fc
  .record({
    progress,
    more: fc.record({
      hasTurn: rarely,
      isOurs: rarely.map((is) => !is),
      sent: at,
      reported: at,
      writing: fc.constantFrom(undefined, undefined, { sinceMs: nowMs - 3 }, { sinceMs: nowMs - 40_000 }),
      owesWelcome: rarely.map((is) => (is ? "again" : undefined)),
      owesView: rarely,
      owesSynced: rarely.map((is) => (is ? "at-head" : undefined)),
      owesHeartbeat: rarely,
      unansweredWelcome: rarely.map((is) => (is ? 4 : undefined)),
      nextHeartbeatMs: fc.constantFrom(nowMs - 1, nowMs, nowMs + 5),
      heardMs: fc.constantFrom(nowMs - 1, nowMs - 20_000, nowMs - 31_000),
      mismatch: rarely.map((is) => (is ? { answers: 1, nextMs: 0 } : undefined)),
    }),
  })
  .map(({ progress: of, more }) => {
    const sent = of.kind === "following" && of.cursor > more.sent ? of.cursor : more.sent;
    return open(of, { ...more, sent });
  });
const acks = fc
  .record({
    revision: fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 0, max: heads + 1 }).map((number) => BigInt(number)) },
      { weight: 1, arbitrary: fc.constant(1n << 63n) },
    ),
    heartbeat: fc.constantFrom(0n, 0n, 0n, 4n, 9n),
    digest: fc.constantFrom(0n, 7n),
    failed: fc.constantFrom(undefined, undefined, FailureCategory.CAPACITY, FailureCategory.MASS_REMOVAL_HELD),
  })
  .map(({ failed, ...of }) => {
    const failures = failed === undefined ? [] : [{ service: "a/b", category: failed }];
    return create(AckSchema, { ...of, failures });
  });

function put(state: StreamState): { readonly steady: SteadyStreams<Slotted>; readonly stream: Slotted } {
  const steady = new SteadyStreams<Slotted>();
  const stream = { slot: 0, state };
  // So that it is not the first, and the columns have grown.
  for (let i = 0; i < 70; i++) steady.enter({ slot: 0, state: greetingStream(0) });
  steady.enter(stream);
  steady.put(stream);
  return { steady, stream };
}

// What `step` makes of it without what a quick transition says.
function stepped(state: StreamState, of: World, ...events: readonly StreamEvent[]) {
  let now = state;
  const effects: Effect[] = [];
  for (const event of events) {
    const next = step(now, event, of, nowMs);
    now = next.state;
    effects.push(...next.effects);
  }
  return { state: now, effects };
}

test("a stream that is steady is the one that was put", () => {
  fc.assert(
    fc.property(states, (state) => {
      const { steady, stream } = put(state);
      assert.deepEqual(steady.stateOf(stream), state);
      assert.equal(steady.isWriting(stream), state.writing !== undefined);
    }),
  );
});

test("a quick write of the head is the one of `step`", () => {
  let writes = 0;
  fc.assert(
    fc.property(states, worlds, (state, of) => {
      const { steady, stream } = put(state);
      const published = steady.published(stream, of, nowMs);
      if (published === undefined) {
        assert.deepEqual(steady.stateOf(stream), state, "what is not quick has changed nothing");
        return;
      }
      const expected = stepped(state, of, { kind: "published" });
      assert.deepEqual(steady.stateOf(stream), expected.state);
      const effects = published.kind === "write" ? [published] : [];
      assert.deepEqual(effects, expected.effects);
      writes += effects.length;
    }),
    { numRuns: 5_000 },
  );
  assert.ok(writes > 50, `only ${writes} were quick`);
});

test("a quick end of a write is the one of `step`", () => {
  let quick = 0;
  fc.assert(
    fc.property(states, worlds, (state, of) => {
      const { steady, stream } = put(state);
      const reported = steady.written(stream);
      if (reported === undefined) return;
      quick++;
      const effects: Effect[] = reported > 0 ? [{ kind: "sent", revision: reported }] : [];
      const published = steady.published(stream, of, nowMs);
      const after =
        published === undefined
          ? stepped(steady.stateOf(stream), of, { kind: "published" })
          : { state: steady.stateOf(stream), effects: published.kind === "write" ? [published] : [] };
      const expected = stepped(state, of, { kind: "written" });
      assert.deepEqual(after.state, expected.state);
      assert.deepEqual([...effects, ...after.effects], expected.effects);
    }),
    { numRuns: 5_000 },
  );
  assert.ok(quick > 50, `only ${quick} were quick`);
});

test("a quick ack is the one of `step`", () => {
  let quick = 0;
  fc.assert(
    fc.property(states, worlds, acks, (state, of, ack) => {
      const { steady, stream } = put(state);
      const reported = steady.acked(stream, ack, nowMs);
      if (reported === undefined) {
        assert.deepEqual(steady.stateOf(stream), state, "what is not quick has changed nothing");
        return;
      }
      quick++;
      const acked: Effect = { kind: "acked", ack, roundTripMs: undefined };
      const effects: Effect[] = reported > 0 ? [{ kind: "sent", revision: reported }, acked] : [acked];
      const expected = stepped(state, of, { kind: "ack", ack });
      assert.deepEqual(steady.stateOf(stream), expected.state);
      assert.deepEqual(effects, expected.effects);
    }),
    { numRuns: 5_000 },
  );
  assert.ok(quick > 50, `only ${quick} were quick`);
});

test("a stream that a tick passes over is one of which it changes nothing", () => {
  let idle = 0;
  fc.assert(
    fc.property(states, worlds, (state, of) => {
      const { steady, stream } = put(state);
      if (steady.due(of, nowMs).includes(stream)) return;
      idle++;
      assert.deepEqual(stepped(state, of, { kind: "tick", isLate: false }), { state, effects: [] });
    }),
    { numRuns: 5_000 },
  );
  assert.ok(idle > 50, `only ${idle} were passed over`);
});

test("a place is given to another stream once its own has left, and what the first still does changes nothing there", () => {
  const { steady, stream } = put(open({ kind: "following", cursor: revision(2) }));
  const { slot } = stream;
  steady.leave(stream);
  steady.leave(stream);
  assert.ok(!steady.due(world, nowMs + 60_000).includes(stream));
  assert.equal(stream.slot, nobody);
  const next: Slotted = { slot: 0, state: open({ kind: "following", cursor: revision(3) }) };
  const other: Slotted = { slot: 0, state: greetingStream(0) };
  steady.enter(next);
  steady.enter(other);
  assert.equal(next.slot, slot);
  assert.notEqual(other.slot, slot);
  steady.put(next);
  stream.state = { phase: "ended" };
  steady.put(stream);
  assert.equal(steady.written(stream), undefined);
  assert.equal(steady.published(stream, world, nowMs), undefined);
  assert.deepEqual(steady.stateOf(next), next.state);
});
