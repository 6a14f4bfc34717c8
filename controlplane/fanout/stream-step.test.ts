import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { revision } from "@weft/proto/cursor.ts";
import { AckSchema, FailureCategory } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { madeService } from "../catalog/made-resources.ts";
import type { Doubt } from "./doubt.ts";
import { refuse } from "./refusal.ts";
import { streamLimits } from "./stream-limits.ts";
import { greetingStream } from "./stream-state.ts";
import type { OpenStream, StreamEvent, StreamState, World } from "./stream-state.ts";
import { step } from "./stream-step.ts";
import {
  cut,
  decode,
  need,
  nowMs,
  open,
  print,
  printStep,
  sumsBut,
  three,
  transferOf,
  two,
  world,
} from "./testing-streams.ts";
import { Transfer } from "./transfer.ts";

// It holds 20 services, the head has 4.
const doubt: Doubt = { by: "control-plane", digest: 9n, services: 20 };

const querying = {
  kind: "querying",
  need,
  owes: undefined,
  askedMs: nowMs - 1,
  sums: undefined,
  comparison: undefined,
  revision: undefined,
} as const;

const states = {
  greeting: greetingStream(nowMs - 1),
  waiting: open({ kind: "waiting", cursor: { epoch: world.epoch, revision: two }, digest: 0n, services: 4 }),
  comparing: open({ kind: "comparing", sinceMs: nowMs - 1 }),
  queued: open({ kind: "queued", need: { ...need, isComparable: false } }),
  comparable: open({ kind: "queued", need }),
  querying: open(querying),
  awaiting: open({ ...querying, sums: sumsBut(2).sums }),
  held: open({ kind: "held", doubt }, { owesView: true }),
  refusing: open({ kind: "held", doubt: { ...doubt, by: "agent" } }),
  transferring: open({ kind: "transferring", transfer: transferOf(three), next: 1 }),
  behind: open({ kind: "following", cursor: two }),
  writing: open({ kind: "following", cursor: three }, { writing: { sinceMs: nowMs - 1 }, reported: two }),
  atHead: open({ kind: "following", cursor: three }),
  ended: { phase: "ended" },
} satisfies Record<string, StreamState>;

const introduction = {
  node: "n1",
  instance: 1n,
  cursor: undefined,
  digest: 1n,
  services: 0,
  addresses: [],
  nodePortAddresses: [],
  localAddresses: [],
  servesLocalClusterIps: false,
  versions: undefined,
};
const failures = [{ category: FailureCategory.MASS_REMOVAL_HELD }];
const events = {
  hello: { kind: "hello", introduction, sentBefore: revision(0) },
  helloOfMany: { kind: "hello", introduction: { ...introduction, services: 20 }, sentBefore: revision(0) },
  ack: { kind: "ack", ack: create(AckSchema, { revision: 3n, heartbeat: 4n }) },
  ackOfFuture: { kind: "ack", ack: create(AckSchema, { revision: 4n }) },
  ackWithDigest: { kind: "ack", ack: create(AckSchema, { revision: 0n, digest: 7n, heartbeat: 4n }) },
  ackEqual: { kind: "ack", ack: create(AckSchema, { revision: 3n, digest: 7n, heartbeat: 4n, counts: {} }) },
  ackDiffers: { kind: "ack", ack: create(AckSchema, { revision: 3n, digest: 9n, heartbeat: 4n, counts: {} }) },
  ackHeld: { kind: "ack", ack: create(AckSchema, { revision: 0n, digest: 9n, heartbeat: 4n, failures }) },
  digests: { kind: "digests", digests: sumsBut(2) },
  unknown: { kind: "unknown" },
  refused: { kind: "refused", refusal: refuse("malformed", "INVALID_ARGUMENT", "no message") },
  written: { kind: "written" },
  published: { kind: "published" },
  confirmed: { kind: "confirmed" },
  granted: { kind: "granted" },
  displaced: { kind: "displaced" },
  cutMade: { kind: "cut-made", cut },
  viewChanged: { kind: "view-changed" },
  tick: { kind: "tick", isLate: false },
  leave: { kind: "leave", reason: "draining", message: "bye", retryAfterMs: 0 },
  closed: { kind: "closed" },
} satisfies Record<string, StreamEvent>;

// What comes of it: the progress (or phase) that follows, then the effects.
const ended = "ended: end";
/** Whoever holds it back, the control plane or the agent. */
const heldBack: Record<keyof typeof events, string> = {
  hello: ended,
  helloOfMany: ended,
  ack: "held: acked",
  ackOfFuture: ended,
  ackWithDigest: "held: acked",
  ackEqual: "held: acked",
  ackDiffers: "held: acked",
  ackHeld: "held: acked",
  digests: ended,
  unknown: "held",
  refused: ended,
  written: "held",
  published: "held",
  confirmed: "held",
  granted: "held: release-snapshot",
  displaced: "ended: write end",
  cutMade: "held",
  viewChanged: "held",
  tick: "held",
  leave: "ended: write end",
  closed: "ended",
};

const expected: Record<keyof typeof states, Record<keyof typeof events, string>> = {
  greeting: {
    hello: "queued: request-snapshot write",
    helloOfMany: "held: write",
    ack: ended,
    ackOfFuture: ended,
    ackWithDigest: ended,
    ackEqual: ended,
    ackDiffers: ended,
    ackHeld: ended,
    digests: ended,
    unknown: "greeting",
    refused: ended,
    written: "greeting",
    published: "greeting",
    confirmed: "greeting",
    granted: "greeting",
    displaced: "greeting",
    cutMade: "greeting",
    viewChanged: "greeting",
    tick: "greeting",
    leave: "ended: write end",
    closed: "ended",
  },
  waiting: {
    hello: ended,
    helloOfMany: ended,
    ack: "waiting: acked",
    ackOfFuture: ended,
    ackWithDigest: "waiting: acked",
    ackEqual: "waiting: acked",
    ackDiffers: "waiting: acked",
    ackHeld: "held: acked",
    digests: ended,
    unknown: "waiting",
    refused: ended,
    written: "following 3: write",
    published: "following 3: write",
    confirmed: "waiting",
    granted: "waiting: release-snapshot",
    displaced: "ended: write end",
    cutMade: "waiting",
    viewChanged: "waiting: write",
    tick: "waiting",
    leave: "ended: write end",
    closed: "ended",
  },
  comparing: {
    hello: ended,
    helloOfMany: ended,
    ack: "queued: acked request-snapshot",
    ackOfFuture: "comparing",
    ackWithDigest: "following 3: acked write",
    ackEqual: "following 3: acked write",
    ackDiffers: "queued: acked request-snapshot",
    ackHeld: "held: acked",
    digests: ended,
    unknown: "comparing",
    refused: ended,
    written: "comparing",
    published: "comparing",
    confirmed: "comparing",
    granted: "comparing: release-snapshot",
    displaced: "ended: write end",
    cutMade: "comparing",
    viewChanged: "comparing: write",
    tick: "comparing",
    leave: "ended: write end",
    closed: "ended",
  },
  comparable: {
    hello: "ended: release-snapshot end",
    helloOfMany: "ended: release-snapshot end",
    ack: "queued: acked",
    ackOfFuture: "ended: release-snapshot end",
    ackWithDigest: "queued: acked",
    ackEqual: "queued: acked",
    ackDiffers: "queued: acked",
    ackHeld: "held: acked release-snapshot",
    digests: "ended: release-snapshot end",
    unknown: "queued",
    refused: "ended: release-snapshot end",
    written: "queued",
    published: "queued",
    confirmed: "queued",
    granted: "querying sums: write",
    displaced: "ended: release-snapshot write end",
    cutMade: "queued",
    viewChanged: "queued: write",
    tick: "queued",
    leave: "ended: release-snapshot write end",
    closed: "ended: release-snapshot",
  },
  querying: {
    hello: "ended: release-snapshot end",
    helloOfMany: "ended: release-snapshot end",
    ack: "querying sums: acked",
    ackOfFuture: "ended: release-snapshot end",
    ackWithDigest: "querying sums: acked",
    ackEqual: "querying sums: acked",
    ackDiffers: "querying sums: acked",
    ackHeld: "held: acked release-snapshot",
    digests: "querying hashes: write",
    unknown: "querying sums",
    refused: "ended: release-snapshot end",
    written: "querying sums",
    published: "querying sums",
    confirmed: "querying sums",
    granted: "querying sums: release-snapshot",
    displaced: "queued: release-snapshot request-snapshot",
    cutMade: "querying sums",
    viewChanged: "querying sums: write",
    tick: "querying sums",
    leave: "ended: release-snapshot write end",
    closed: "ended: release-snapshot",
  },
  awaiting: {
    hello: "ended: release-snapshot end",
    helloOfMany: "ended: release-snapshot end",
    ack: "querying sums: acked",
    ackOfFuture: "ended: release-snapshot end",
    ackWithDigest: "querying sums: acked",
    ackEqual: "querying sums: acked",
    ackDiffers: "querying sums: acked",
    ackHeld: "held: acked release-snapshot",
    digests: "ended: release-snapshot end",
    unknown: "querying sums",
    refused: "ended: release-snapshot end",
    written: "querying sums",
    published: "querying sums",
    confirmed: "querying sums",
    granted: "querying sums: release-snapshot",
    displaced: "ended: release-snapshot write end",
    cutMade: "querying hashes: write",
    viewChanged: "querying sums: write",
    tick: "querying sums",
    leave: "ended: release-snapshot write end",
    closed: "ended: release-snapshot",
  },
  queued: {
    hello: "ended: release-snapshot end",
    helloOfMany: "ended: release-snapshot end",
    ack: "queued: acked",
    ackOfFuture: "ended: release-snapshot end",
    ackWithDigest: "queued: acked",
    ackEqual: "queued: acked",
    ackDiffers: "queued: acked",
    ackHeld: "held: acked release-snapshot",
    digests: "ended: release-snapshot end",
    unknown: "queued",
    refused: "ended: release-snapshot end",
    written: "queued",
    published: "queued",
    confirmed: "queued",
    granted: "transferring 1: note write",
    displaced: "ended: release-snapshot write end",
    cutMade: "queued",
    viewChanged: "queued: write",
    tick: "queued",
    leave: "ended: release-snapshot write end",
    closed: "ended: release-snapshot",
  },
  held: heldBack,
  refusing: heldBack,
  transferring: {
    hello: "ended: release-snapshot end",
    helloOfMany: "ended: release-snapshot end",
    ack: "transferring 1: acked",
    ackOfFuture: "ended: release-snapshot end",
    ackWithDigest: "transferring 1: acked",
    ackEqual: "transferring 1: acked",
    ackDiffers: "transferring 1: acked",
    ackHeld: "held: acked release-snapshot",
    digests: "ended: release-snapshot end",
    unknown: "transferring 1",
    refused: "ended: release-snapshot end",
    written: "transferring 2: write",
    published: "transferring 2: write",
    confirmed: "transferring 2: write",
    granted: "transferring 1: release-snapshot",
    displaced: "ended: release-snapshot write end",
    cutMade: "transferring 2: write",
    viewChanged: "transferring 2: write",
    tick: "transferring 1",
    leave: "ended: release-snapshot write end",
    closed: "ended: release-snapshot",
  },
  behind: {
    hello: ended,
    helloOfMany: ended,
    ack: "following 2: acked",
    ackOfFuture: ended,
    ackWithDigest: "following 2: acked",
    ackEqual: "following 2: acked",
    ackDiffers: "following 2: acked",
    ackHeld: "held: acked",
    digests: ended,
    unknown: "following 2",
    refused: ended,
    written: "following 3: write",
    published: "following 3: write",
    confirmed: "following 3: write",
    granted: "following 2: release-snapshot",
    displaced: "ended: write end",
    cutMade: "following 3: write",
    viewChanged: "following 2: write",
    tick: "following 2",
    leave: "ended: write end",
    closed: "ended",
  },
  writing: {
    hello: ended,
    helloOfMany: ended,
    ack: "following 3: sent acked",
    ackOfFuture: ended,
    ackWithDigest: "following 3: acked",
    ackEqual: "following 3: sent acked",
    ackDiffers: "queued: sent acked note request-snapshot",
    ackHeld: "held: acked",
    digests: ended,
    unknown: "following 3",
    refused: ended,
    written: "following 3: sent",
    published: "following 3",
    confirmed: "following 3",
    granted: "following 3: release-snapshot",
    displaced: "ended: end",
    cutMade: "following 3",
    viewChanged: "following 3",
    tick: "following 3",
    leave: "ended: write end",
    closed: "ended",
  },
  atHead: {
    hello: ended,
    helloOfMany: ended,
    ack: "following 3: acked",
    ackOfFuture: ended,
    ackWithDigest: "following 3: acked",
    ackEqual: "following 3: acked",
    ackDiffers: "queued: acked note request-snapshot",
    ackHeld: "held: acked",
    digests: ended,
    unknown: "following 3",
    refused: ended,
    written: "following 3",
    published: "following 3",
    confirmed: "following 3",
    granted: "following 3: release-snapshot",
    displaced: "ended: write end",
    cutMade: "following 3",
    viewChanged: "following 3: write",
    tick: "following 3",
    leave: "ended: write end",
    closed: "ended",
  },
  ended: {
    hello: "ended",
    helloOfMany: "ended",
    ack: "ended",
    ackOfFuture: "ended",
    ackWithDigest: "ended",
    ackEqual: "ended",
    ackDiffers: "ended",
    ackHeld: "ended",
    digests: "ended",
    unknown: "ended",
    refused: "ended",
    written: "ended",
    published: "ended",
    confirmed: "ended",
    granted: "ended",
    displaced: "ended",
    cutMade: "ended",
    viewChanged: "ended",
    tick: "ended",
    leave: "ended",
    closed: "ended",
  },
};

const keysOf = <T extends object>(of: T): (keyof T)[] => Object.keys(of) as (keyof T)[];

describe("every event in every state", () => {
  for (const from of keysOf(expected)) {
    for (const event of keysOf(expected[from])) {
      test(`${from}, ${event}`, () => {
        const { state, effects } = step(states[from], events[event], world, nowMs);
        assert.equal(printStep({ state, effects }), expected[from][event]);
        const hasWritten = effects.some(({ kind }) => kind === "write");
        if (hasWritten && state.phase === "open") assert.deepEqual(state.writing, { sinceMs: nowMs });
      });
    }
  }
});

test("Synced that gives an agent its cursor goes before a delta from there", () => {
  const owing = { ...states.behind, owesSynced: "at-cursor" } as const;
  const first = step(owing, events.published, world, nowMs);
  assert.deepEqual(decode(first.effects[0]).synced?.revision, 2n);
  const second = step(first.state, events.written, world, nowMs);
  assert.deepEqual(decode(second.effects[0]).delta?.from, 2n);
});

describe("a doubted stream", () => {
  const confirmed: World = { ...world, isRemovalConfirmed: true };
  const equal: World = { ...world, root: 9n, services: doubt.services };
  const more: World = { ...world, services: 10 };
  const releases: readonly (readonly [
    name: string,
    from: StreamState,
    event: keyof typeof events,
    of: World,
    then: string,
  ])[] = [
    ["is confirmed", states.held, "confirmed", confirmed, "queued: request-snapshot write"],
    ["is confirmed by time", states.held, "tick", confirmed, "queued: request-snapshot write"],
    ["while it is written to", { ...states.held, owesView: false }, "written", confirmed, "queued: request-snapshot"],
    ["holds what the head holds", states.held, "published", equal, "following 3: write"],
    ["loses no more than may be", states.held, "published", more, "queued: request-snapshot write"],
    ["refuses, and is confirmed", states.refusing, "confirmed", confirmed, "queued: request-snapshot"],
    ["refuses, and holds what the head holds", states.refusing, "published", equal, "queued: request-snapshot"],
    ["refuses, whatever the counts say", states.refusing, "published", more, "held"],
    ["refuses what is confirmed meanwhile", states.atHead, "ackHeld", confirmed, "queued: acked request-snapshot"],
  ];
  for (const [name, from, event, of, then] of releases) {
    test(name, () => {
      assert.equal(printStep(step(from, events[event], of, nowMs)), then);
    });
  }

  const queued = (by: Doubt["by"]): OpenStream =>
    open({ kind: "queued", need: { ...need, doubt: { ...doubt, by }, isComparable: false } });
  const marks: readonly (readonly [name: string, from: OpenStream, of: World, mark: boolean | undefined])[] = [
    ["of this history", states.queued, world, true],
    ["of another, before anyone confirmed", queued("control-plane"), more, false],
    ["of another, confirmed", queued("control-plane"), confirmed, true],
    ["that refused, confirmed", queued("agent"), confirmed, true],
    ["that refused what it holds", queued("agent"), equal, true],
    ["that is doubted again", queued("control-plane"), world, undefined],
    ["that refused and is doubted again", queued("agent"), more, undefined],
  ];
  for (const [name, from, of, mark] of marks) {
    test(`the mark of a snapshot for an agent ${name}`, () => {
      let asked: boolean | undefined;
      const snapshot = (_: number, isConfirmed: boolean): Transfer => {
        asked = isConfirmed;
        return transferOf(three);
      };
      const { state } = step(from, events.granted, { ...of, snapshot }, nowMs);
      assert.equal(asked, mark);
      assert.equal(print(state), mark === undefined ? "held" : "transferring 1");
    });
  }

  test("an ack that still speaks of the refusal does not stop the confirmed snapshot", () => {
    const { state } = step(queued("agent"), events.granted, confirmed, nowMs);
    assert.equal(print(step(state, events.ackHeld, confirmed, nowMs).state), "transferring 1");
  });

  // Its kernel runs what its lost file held, until Synced: it acks 0, takes what it is sent, and the history ends behind it.
  test("an agent that was sent an unmarked snapshot is believed once it answers a heartbeat behind that", () => {
    const compacted: World = { ...world, delta: () => undefined };
    const sent: OpenStream = open(
      { kind: "transferring", transfer: transferOf(two), next: transferOf(two).parts - 1 },
      { hasTurn: false, heartbeat: { sequence: 4, atMs: nowMs - 5, compares: undefined } },
    );
    const last = step(sent, events.written, compacted, nowMs);
    const behind = step(last.state, events.written, compacted, nowMs);
    assert.equal(print(behind.state), "following 2");
    const ack = (heartbeat: bigint, rest = {}) =>
      step(
        { ...behind.state, heartbeat: { sequence: 5, atMs: nowMs, compares: undefined } } as OpenStream,
        { kind: "ack", ack: create(AckSchema, { digest: 9n, heartbeat, ...rest }) },
        compacted,
        nowMs,
      );
    assert.equal(print(ack(0n).state), "following 2", "an ack of what was before");
    assert.equal(print(ack(4n).state), "following 2", "the answer to a heartbeat before the snapshot");
    assert.equal(printStep(ack(5n)), "queued: acked request-snapshot");
    assert.equal(print(ack(5n, { failures }).state), "held", "it refused");
  });

  test("an old cut does only if it does not remove too much, or for what the agent holds only the head", () => {
    const older = Transfer.snapshot(two, [madeService("a")], false, 1_000);
    const tried: (boolean | undefined)[] = [];
    const snapshot = (_: number, __: boolean, isGood: (of: Transfer) => boolean): Transfer => {
      tried.push(isGood(older));
      return transferOf(three);
    };
    for (const [from, of] of [
      [queued("control-plane"), more],
      [queued("agent"), equal],
      [queued("agent"), confirmed],
      [states.queued, world],
    ] as const)
      step({ ...from, sent: two }, events.granted, { ...of, snapshot }, nowMs);
    // Nor does one that is behind what was sent before.
    step(states.queued, events.granted, { ...world, snapshot }, nowMs);
    assert.deepEqual(tried, [false, false, true, true, false]);
  });
});

describe("time", () => {
  const later = (ms: number, from: StreamState, isLate = false) =>
    step(from, { kind: "tick", isLate }, world, nowMs + ms);

  test("a heartbeat is due at its interval, with the digest only at the head", () => {
    for (const from of [states.atHead, states.behind]) {
      const { state, effects } = later(1, from);
      assert.deepEqual(
        effects.map(({ kind }) => kind),
        ["write"],
      );
      assert.equal((state as OpenStream).heartbeat.sequence, 5);
    }
    const [atHead, behind] = [states.atHead, states.behind].map((from) => later(1, from).effects[0]);
    assert.ok(atHead?.kind === "write" && behind?.kind === "write");
    assert.equal(atHead.bytes.length - behind.bytes.length, 9);
  });

  const ends: readonly [name: string, from: StreamState, ms: number, reason: string | undefined][] = [
    ["no Hello", states.greeting, streamLimits.helloMs, "hello-late"],
    ["silence", states.atHead, 3 * streamLimits.heartbeatMs, "silent"],
    ["a write that is stuck", states.writing, streamLimits.stalledMs, "stalled"],
  ];
  for (const [name, from, ms, reason] of ends) {
    test(`${name} ends the stream, but not if this program slept`, () => {
      const isEnd = (one: { readonly kind: string }): boolean => one.kind === "end";
      const [end] = later(ms, from).effects.filter(isEnd);
      assert.equal(end?.kind === "end" ? end.refusal.reason : undefined, reason);
      assert.equal(later(ms, from, true).effects.some(isEnd), false);
      assert.equal(later(ms - 2, from).effects.some(isEnd), false);
    });
  }

  test("an agent that never answers a second Welcome gets a snapshot", () => {
    const from = { ...states.comparing, heardMs: nowMs + 30_000 };
    const { state } = later(30_001, from);
    assert.equal(print(state), "queued");
  });

  test("a round trip is measured by the answer to the last heartbeat", () => {
    const [effect] = step(states.atHead, events.ack, world, nowMs).effects;
    assert.ok(effect?.kind === "acked");
    assert.equal(effect.roundTripMs, 5);
  });
});
