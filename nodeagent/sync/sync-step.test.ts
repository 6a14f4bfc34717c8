import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { backoffMaxMs, backoffMs } from "./backoff.ts";
import { initialState } from "./sync-state.ts";
import type { DeltaEvent, EndCause, Session, Standing, SyncEffect, SyncEvent, SyncState } from "./sync-state.ts";
import { connectDeadlineMs, olderEpochAfterMs, retryAfterMaxMs, step } from "./sync-step.ts";

// A fixed moment; the stream was heard 1 ms ago, heartbeats come every second.
const now = 1_000_000;
const jitter = 0.5;
const older = epoch(1_000, 1);
const current = epoch(2_000, 1);
const newer = epoch(3_000, 1);
const at = (number: number, of = current): { epoch: typeof current; revision: ReturnType<typeof revision> } => ({
  epoch: of,
  revision: revision(number),
});

const standing: Standing = {
  cursor: at(5),
  newestEpoch: current,
  floor: undefined,
  attempt: 2,
  acceptableAtMs: now - 1,
};
const session: Session = { epoch: current, heartbeatMs: 1_000, heardAtMs: now - 1, hasView: true };
const removal = { services: 20, ofServices: 25 };
const partial = {
  from: revision(5),
  to: revision(7),
  nextPart: 1,
  parts: 2,
  scope: "since",
  buckets: [],
  isConfirmed: false,
} as const;
const confirmedPartial = { ...partial, from: undefined, scope: "everything", isConfirmed: true } as const;

const states = {
  waiting: { kind: "backing-off", standing, retryAtMs: now + 100 },
  due: { kind: "backing-off", standing, retryAtMs: now },
  connecting: { kind: "connecting", standing, deadlineMs: now + 100 },
  greeting: { kind: "greeting", standing, deadlineMs: now + 100 },
  unviewed: { kind: "following", standing, session: { ...session, hasView: false }, partial: undefined },
  following: { kind: "following", standing, session, partial: undefined },
  receiving: { kind: "following", standing, session, partial },
  holding: { kind: "holding", standing, session, partial: undefined, removal },
  confirming: { kind: "holding", standing, session, partial: confirmedPartial, removal },
} as const satisfies Record<string, SyncState>;

const part: DeltaEvent = {
  kind: "delta",
  from: revision(5),
  to: revision(7),
  part: 0,
  parts: 1,
  scope: "since",
  buckets: [],
  isConfirmed: false,
  stray: undefined,
  removal: { services: 0, ofServices: 25 },
  malformed: undefined,
};
const whole: DeltaEvent = { ...part, from: undefined, scope: "everything" };
const welcome = { kind: "welcome", isMemoryLog: true, heartbeatMs: 1_000, protocol: 1 } as const;

const events = {
  tick: { kind: "tick" },
  connected: { kind: "connected" },
  ended: { kind: "ended" },
  welcome: { ...welcome, epoch: current },
  welcomeNewer: { ...welcome, epoch: newer },
  welcomeOlder: { ...welcome, epoch: older },
  welcomeForeign: { ...welcome, epoch: current, protocol: 3 },
  nodeView: { kind: "node-view" },
  delta: part,
  deltaFromElsewhere: { ...part, from: revision(4) },
  firstPart: { ...part, parts: 2 },
  lastPart: { ...part, part: 1, parts: 2 },
  skippedPart: { ...part, part: 2, parts: 3 },
  malformedPart: { ...part, malformed: "resource 0 of the part" },
  snapshot: whole,
  confirmedSnapshot: { ...whole, isConfirmed: true },
  confirmedFirstPart: { ...whole, isConfirmed: true, parts: 2 },
  confirmedLastPart: { ...whole, isConfirmed: true, part: 1, parts: 2 },
  repair: { ...whole, scope: "buckets", buckets: [3, 9] },
  repairOutside: { ...whole, scope: "buckets", buckets: [3, 9], stray: "a repair touches resource 7" },
  repairOfNothing: { ...whole, scope: "buckets" },
  confirmedRepair: { ...whole, scope: "buckets", buckets: [3], isConfirmed: true },
  snapshotBehind: { ...whole, to: revision(4) },
  massRemoval: { ...whole, removal },
  massRemovalByRepair: { ...whole, scope: "buckets", buckets: [3], removal },
  confirmedMassRemoval: { ...whole, removal, isConfirmed: true },
  synced: { kind: "synced", revision: revision(5) },
  syncedAhead: { kind: "synced", revision: revision(9) },
  syncedBehind: { kind: "synced", revision: revision(4) },
  heartbeat: { kind: "heartbeat", sequence: 3n },
  digestQuery: { kind: "digest-query" },
  goaway: { kind: "goaway", retryAfterMs: 0, message: "bye" },
  goawayLater: { kind: "goaway", retryAfterMs: 7_000, message: "too many at once" },
  malformed: { kind: "malformed", reason: "Welcome: not an epoch" },
  changed: { kind: "changed" },
} as const satisfies Record<string, SyncEvent>;

type StateName = keyof typeof states;
type EventName = keyof typeof events;

/** The next state, the words of the effects, and the cursor if it moves. "same": nothing at all happens. */
type Expected =
  | "same"
  | {
      readonly to: SyncState["kind"];
      readonly does?: readonly (Exclude<SyncEffect["kind"], "close"> | `close ${EndCause}`)[];
      readonly cursor?: number;
      /** A delta is waiting for parts afterwards. */
      readonly isPartial?: boolean;
    };

const same = "same";
const retry: Expected = { to: "backing-off" };
const ended: Expected = { to: "backing-off", does: ["discard"] };
const closes = (cause: EndCause): Expected => ({ to: "backing-off", does: ["discard", `close ${cause}`] });
const broken = closes("protocol-error");
const heard: Expected = { to: "following" };
const held: Expected = { to: "holding", does: ["discard"] };
const commits: Expected = { to: "following", does: ["stage", "commit"], cursor: 7 };

const idle: Record<EventName, Expected> = {
  tick: same,
  connected: same,
  ended: same,
  welcome: same,
  welcomeNewer: same,
  welcomeOlder: same,
  welcomeForeign: same,
  nodeView: same,
  delta: same,
  deltaFromElsewhere: same,
  firstPart: same,
  lastPart: same,
  skippedPart: same,
  malformedPart: same,
  snapshot: same,
  confirmedSnapshot: same,
  confirmedFirstPart: same,
  confirmedLastPart: same,
  repair: same,
  repairOutside: same,
  repairOfNothing: same,
  confirmedRepair: same,
  snapshotBehind: same,
  massRemoval: same,
  massRemovalByRepair: same,
  confirmedMassRemoval: same,
  synced: same,
  syncedAhead: same,
  syncedBehind: same,
  heartbeat: same,
  digestQuery: same,
  goaway: same,
  goawayLater: same,
  malformed: same,
  changed: same,
};

const table: Record<StateName, Record<EventName, Expected>> = {
  waiting: idle,
  due: { ...idle, tick: { to: "connecting", does: ["connect"] } },
  connecting: { ...idle, connected: { to: "greeting", does: ["hello"] }, ended: retry },
  greeting: {
    tick: same,
    connected: same,
    ended: retry,
    welcome: heard,
    welcomeNewer: heard,
    welcomeOlder: closes("older-epoch"),
    welcomeForeign: closes("protocol-version"),
    nodeView: broken,
    delta: broken,
    deltaFromElsewhere: broken,
    firstPart: broken,
    lastPart: broken,
    skippedPart: broken,
    malformedPart: broken,
    snapshot: broken,
    confirmedSnapshot: broken,
    confirmedFirstPart: broken,
    confirmedLastPart: broken,
    repair: broken,
    repairOutside: broken,
    repairOfNothing: broken,
    confirmedRepair: broken,
    snapshotBehind: broken,
    massRemoval: broken,
    massRemovalByRepair: broken,
    confirmedMassRemoval: broken,
    synced: broken,
    syncedAhead: broken,
    syncedBehind: broken,
    heartbeat: broken,
    digestQuery: broken,
    goaway: closes("goaway"),
    goawayLater: closes("goaway"),
    malformed: closes("malformed"),
    changed: same,
  },
  unviewed: {
    tick: same,
    connected: same,
    ended,
    welcome: { to: "following", does: ["discard", "ack"] },
    welcomeNewer: { to: "following", does: ["discard", "ack"] },
    welcomeOlder: closes("older-epoch"),
    welcomeForeign: closes("protocol-version"),
    nodeView: { to: "following", does: ["view"] },
    delta: broken,
    deltaFromElsewhere: broken,
    firstPart: broken,
    lastPart: broken,
    skippedPart: broken,
    malformedPart: closes("malformed"),
    snapshot: broken,
    confirmedSnapshot: broken,
    confirmedFirstPart: broken,
    confirmedLastPart: broken,
    repair: broken,
    repairOutside: broken,
    repairOfNothing: broken,
    confirmedRepair: broken,
    snapshotBehind: broken,
    massRemoval: broken,
    massRemovalByRepair: broken,
    confirmedMassRemoval: broken,
    synced: heard,
    syncedAhead: { to: "following", does: ["advance"], cursor: 9 },
    syncedBehind: broken,
    heartbeat: { to: "following", does: ["ack"] },
    digestQuery: { to: "following", does: ["digests"] },
    goaway: closes("goaway"),
    goawayLater: closes("goaway"),
    malformed: closes("malformed"),
    changed: { to: "following", does: ["ack"] },
  },
  following: {
    tick: same,
    connected: same,
    ended,
    welcome: { to: "following", does: ["discard", "ack"] },
    welcomeNewer: { to: "following", does: ["discard", "ack"] },
    welcomeOlder: closes("older-epoch"),
    welcomeForeign: closes("protocol-version"),
    nodeView: { to: "following", does: ["view"] },
    delta: commits,
    deltaFromElsewhere: broken,
    firstPart: { to: "following", does: ["stage"], isPartial: true },
    lastPart: broken,
    skippedPart: broken,
    malformedPart: closes("malformed"),
    snapshot: commits,
    confirmedSnapshot: commits,
    confirmedFirstPart: { to: "following", does: ["stage"], isPartial: true },
    confirmedLastPart: broken,
    repair: commits,
    repairOutside: broken,
    repairOfNothing: broken,
    confirmedRepair: commits,
    snapshotBehind: broken,
    massRemoval: { to: "holding", does: ["discard", "ack"] },
    massRemovalByRepair: { to: "holding", does: ["discard", "ack"] },
    confirmedMassRemoval: commits,
    synced: heard,
    syncedAhead: { to: "following", does: ["advance"], cursor: 9 },
    syncedBehind: broken,
    heartbeat: { to: "following", does: ["ack"] },
    digestQuery: { to: "following", does: ["digests"] },
    goaway: closes("goaway"),
    goawayLater: closes("goaway"),
    malformed: closes("malformed"),
    changed: { to: "following", does: ["ack"] },
  },
  receiving: {
    tick: same,
    connected: same,
    ended,
    welcome: { to: "following", does: ["discard", "ack"] },
    welcomeNewer: { to: "following", does: ["discard", "ack"] },
    welcomeOlder: closes("older-epoch"),
    welcomeForeign: closes("protocol-version"),
    nodeView: { to: "following", does: ["view"], isPartial: true },
    delta: broken,
    deltaFromElsewhere: broken,
    firstPart: broken,
    lastPart: commits,
    skippedPart: broken,
    malformedPart: closes("malformed"),
    snapshot: broken,
    confirmedSnapshot: broken,
    confirmedFirstPart: broken,
    confirmedLastPart: broken,
    repair: broken,
    repairOutside: broken,
    repairOfNothing: broken,
    confirmedRepair: broken,
    snapshotBehind: broken,
    massRemoval: broken,
    massRemovalByRepair: broken,
    confirmedMassRemoval: broken,
    synced: broken,
    syncedAhead: broken,
    syncedBehind: broken,
    heartbeat: { to: "following", does: ["ack"], isPartial: true },
    digestQuery: { to: "following", does: ["digests"], isPartial: true },
    goaway: closes("goaway"),
    goawayLater: closes("goaway"),
    malformed: closes("malformed"),
    changed: { to: "following", does: ["ack"], isPartial: true },
  },
  holding: {
    tick: same,
    connected: same,
    ended,
    welcome: { to: "holding", does: ["discard", "ack"] },
    welcomeNewer: { to: "holding", does: ["discard", "ack"] },
    welcomeOlder: closes("older-epoch"),
    welcomeForeign: closes("protocol-version"),
    nodeView: { to: "holding", does: ["view"] },
    delta: held,
    deltaFromElsewhere: held,
    firstPart: held,
    lastPart: held,
    skippedPart: held,
    malformedPart: held,
    snapshot: held,
    confirmedSnapshot: commits,
    confirmedFirstPart: { to: "holding", does: ["stage"], isPartial: true },
    confirmedLastPart: broken,
    repair: held,
    repairOutside: held,
    repairOfNothing: held,
    confirmedRepair: commits,
    snapshotBehind: held,
    massRemoval: held,
    massRemovalByRepair: held,
    confirmedMassRemoval: commits,
    synced: { to: "holding" },
    syncedAhead: { to: "holding" },
    syncedBehind: { to: "holding" },
    heartbeat: { to: "holding", does: ["ack"] },
    digestQuery: { to: "holding", does: ["digests"] },
    goaway: closes("goaway"),
    goawayLater: closes("goaway"),
    malformed: closes("malformed"),
    changed: { to: "holding", does: ["ack"] },
  },
  confirming: {
    tick: same,
    connected: same,
    ended,
    welcome: { to: "holding", does: ["discard", "ack"] },
    welcomeNewer: { to: "holding", does: ["discard", "ack"] },
    welcomeOlder: closes("older-epoch"),
    welcomeForeign: closes("protocol-version"),
    nodeView: { to: "holding", does: ["view"], isPartial: true },
    delta: held,
    deltaFromElsewhere: held,
    firstPart: held,
    lastPart: held,
    skippedPart: held,
    malformedPart: held,
    snapshot: held,
    confirmedSnapshot: broken,
    confirmedFirstPart: broken,
    confirmedLastPart: commits,
    repair: held,
    repairOutside: held,
    repairOfNothing: held,
    confirmedRepair: broken,
    snapshotBehind: held,
    massRemoval: held,
    massRemovalByRepair: held,
    confirmedMassRemoval: broken,
    synced: { to: "holding", isPartial: true },
    syncedAhead: { to: "holding", isPartial: true },
    syncedBehind: { to: "holding", isPartial: true },
    heartbeat: { to: "holding", does: ["ack"], isPartial: true },
    digestQuery: { to: "holding", does: ["digests"], isPartial: true },
    goaway: closes("goaway"),
    goawayLater: closes("goaway"),
    malformed: closes("malformed"),
    changed: { to: "holding", does: ["ack"], isPartial: true },
  },
};

describe("every event in every state", () => {
  for (const [stateName, row] of Object.entries(table) as [StateName, Record<EventName, Expected>][]) {
    for (const [eventName, expected] of Object.entries(row) as [EventName, Expected][]) {
      it(`${stateName} x ${eventName}`, () => {
        const before: SyncState = states[stateName];
        const { state, effects } = step(before, events[eventName], now, jitter);
        if (expected === same) {
          assert.deepEqual(state, before);
          assert.deepEqual(effects, []);
          return;
        }
        assert.equal(state.kind, expected.to);
        assert.deepEqual(
          effects.map((effect) => (effect.kind === "close" ? `close ${effect.cause}` : effect.kind)),
          expected.does ?? [],
        );
        assert.deepEqual(state.standing.cursor, at(expected.cursor ?? 5));
        assert.equal("partial" in state && state.partial !== undefined, expected.isPartial ?? false);
      });
    }
  }
});

describe("time", () => {
  it("backs off 0.2 s doubling to 5 s with full jitter", () => {
    for (const [attempt, most] of [200, 400, 800, 1_600, 3_200, 5_000, 5_000].entries()) {
      assert.equal(backoffMs(attempt, 0), 0);
      assert.equal(backoffMs(attempt, 1), most);
    }
    assert.equal(backoffMs(10_000, 1), backoffMaxMs);
    const { state } = step(states.connecting, events.ended, now, 0.25);
    assert.equal(state.kind === "backing-off" && state.retryAtMs, now + 0.25 * 800);
    assert.equal(state.standing.attempt, 3);
  });

  it("waits as long as Goaway says", () => {
    const { state } = step(states.following, events.goawayLater, now, jitter);
    assert.equal(state.kind === "backing-off" && state.retryAtMs, now + 7_000);
  });

  it("is not sent away for longer than 5 minutes, nor back sooner than its own backoff", () => {
    const forEver = step(states.following, { ...events.goaway, retryAfterMs: 0xffff_ffff }, now, jitter).state;
    assert.equal(forEver.kind === "backing-off" && forEver.retryAtMs, now + retryAfterMaxMs);
    let state: SyncState = states.following;
    for (let i = 0; i < 10; i++) {
      state = { ...states.following, standing: state.standing };
      state = step(state, { ...events.goaway, retryAfterMs: 1 }, now, 0.999).state;
    }
    assert.ok(state.kind === "backing-off" && state.retryAtMs > now + 4_900, JSON.stringify(state));
  });

  it("says why it was asked to leave", () => {
    const [close] = step(states.following, events.goawayLater, now, jitter).effects.filter(
      ({ kind }) => kind === "close",
    );
    assert.match(close?.kind === "close" ? close.message : "", /too many at once/);
  });

  it("starts again at the shortest wait once the control plane has proved itself", () => {
    for (const event of [events.heartbeat, events.synced]) {
      assert.equal(step(states.following, event, now, jitter).state.standing.attempt, 0);
    }
    assert.equal(step(states.greeting, events.welcome, now, jitter).state.standing.attempt, 2);
  });

  it("gives up on a transport that is not ready in time", () => {
    const { state } = step(states.due, events.tick, now, jitter);
    const late = step(state, events.tick, now + connectDeadlineMs, jitter);
    assert.deepEqual(causes(late.effects), ["connect-timeout"]);
    assert.deepEqual(step(state, events.tick, now + connectDeadlineMs - 1, jitter).effects, []);
  });

  it("gives up on a control plane that never welcomes", () => {
    assert.deepEqual(causes(step(states.greeting, events.tick, now + 100, jitter).effects), ["silent"]);
  });

  for (const name of ["following", "receiving", "holding"] as const) {
    it(`ends a stream that is silent for 3 intervals while ${name}, counted from the last word`, () => {
      const { state } = step(states[name], events.heartbeat, now, jitter);
      assert.deepEqual(step(state, events.tick, now + 2_999, jitter).effects, []);
      assert.deepEqual(causes(step(state, events.tick, now + 3_000, jitter).effects), ["silent"]);
    });
  }
});

describe("epochs", () => {
  it("holds nothing of another epoch: a delta with `from` is refused there, a snapshot is taken", () => {
    const { state } = step(states.greeting, events.welcomeNewer, now, jitter);
    const viewed = step(state, events.nodeView, now, jitter).state;
    assert.deepEqual(causes(step(viewed, events.delta, now, jitter).effects), ["protocol-error"]);
    const taken = step(viewed, events.snapshot, now, jitter).state;
    assert.deepEqual(taken.standing.cursor, at(7, newer));
  });

  it("refuses `from` 0: what starts from nothing is a snapshot", () => {
    const { state } = step(states.greeting, events.welcomeNewer, now, jitter);
    const viewed = step(state, events.nodeView, now, jitter).state;
    assert.deepEqual(causes(step(viewed, { ...part, from: revision(0) }, now, jitter).effects), ["protocol-error"]);
  });

  it("takes an older epoch of a memory log after 5 minutes without any acceptable control plane", () => {
    const lonely: SyncState = {
      ...states.greeting,
      standing: { ...standing, acceptableAtMs: now - olderEpochAfterMs },
    };
    const { state, effects } = step(lonely, events.welcomeOlder, now, jitter);
    assert.equal(state.kind, "following");
    assert.deepEqual(effects, []);
    assert.deepEqual(state.standing.newestEpoch, older);
    const redis = step(lonely, { ...events.welcomeOlder, isMemoryLog: false }, now, jitter);
    assert.deepEqual(causes(redis.effects), ["older-epoch"]);
    const soon = step(lonely, events.welcomeOlder, now - 1, jitter);
    assert.deepEqual(causes(soon.effects), ["older-epoch"]);
  });

  it("does not count the refusals of an older control plane as company", () => {
    let state: SyncState = { ...states.greeting, standing: { ...standing, acceptableAtMs: now } };
    state = step(state, events.welcomeOlder, now + 1_000, jitter).state;
    assert.equal(state.standing.acceptableAtMs, now);
  });

  it("takes Synced in a renamed epoch as the cursor of what it holds", () => {
    const { state } = step(states.following, events.welcomeNewer, now, jitter);
    const { state: known, effects } = step(state, events.synced, now, jitter);
    assert.deepEqual(effects, [{ kind: "advance", cursor: at(5, newer) }]);
    assert.deepEqual(known.standing.cursor, at(5, newer));
  });
});

describe("mass removal", () => {
  const cases: readonly (readonly [services: number, ofServices: number, percent: number, isHeld: boolean])[] = [
    [9, 9, 50, false],
    [10, 10, 50, true],
    [10, 20, 50, false],
    [11, 20, 50, true],
    [20, 20, 0, false],
    [20, 20, 100, false],
  ];
  for (const [services, ofServices, percent, isHeld] of cases) {
    it(`${isHeld ? "holds" : "takes"} a removal of ${services} of ${ofServices} at ${percent} %`, () => {
      const event = { ...whole, removal: { services, ofServices } };
      const limits = { massRemovalPercent: percent, massRemovalServicesMin: 10 };
      assert.equal(step(states.following, event, now, jitter, limits).state.kind, isHeld ? "holding" : "following");
    });
  }

  it("never holds back a delta from its own cursor: the control plane decided that one", () => {
    assert.equal(step(states.following, { ...part, removal }, now, jitter).state.kind, "following");
  });
});

describe("adoption: what is live is ahead of what is held", () => {
  const floored = (live: ReturnType<typeof at>, cursor = at(5)): SyncState => {
    const initial = initialState(cursor, live, now);
    return { kind: "following", standing: initial.standing, session, partial: undefined };
  };
  it("has no floor without live maps, or if the file is not behind them", () => {
    assert.equal(initialState(at(5), undefined, now).standing.floor, undefined);
    assert.equal(initialState(undefined, undefined, now).standing.floor, undefined);
    assert.equal(initialState(at(5), at(5), now).standing.floor, undefined);
    assert.equal(initialState(at(6), at(5), now).standing.floor, undefined);
    assert.deepEqual(initialState(at(4), at(5), now).standing.floor, at(5));
    assert.deepEqual(initialState(at(9, older), at(5), now).standing.floor, at(5));
    assert.deepEqual(initialState(undefined, at(5), now).standing.floor, at(5));
  });

  it("refuses what is older than the live epoch too", () => {
    assert.deepEqual(initialState(at(5, older), at(1, current), now).standing.newestEpoch, current);
  });

  it("falls at a revision of its own epoch that reaches it, not at Synced before it", () => {
    const state = step(floored(at(8)), events.delta, now, jitter).state;
    assert.deepEqual(state.standing.floor, at(8));
    const early = step(state, { kind: "synced", revision: revision(7) }, now, jitter).state;
    assert.deepEqual(early.standing.floor, at(8));
    const reached = step(state, { ...part, from: revision(7), to: revision(8) }, now, jitter).state;
    assert.equal(reached.standing.floor, undefined);
  });

  it("falls at Synced in another epoch, not at a revision of it", () => {
    const state = step(floored(at(800, older)), events.snapshot, now, jitter).state;
    assert.deepEqual(state.standing.floor, at(800, older));
    const { state: passed, effects } = step(state, { kind: "synced", revision: revision(7) }, now, jitter);
    assert.equal(passed.standing.floor, undefined);
    assert.deepEqual(effects, [{ kind: "advance", cursor: at(7) }]);
  });

  it("outlives a stream", () => {
    const { state } = step(floored(at(8)), events.ended, now, jitter);
    assert.deepEqual(state.standing.floor, at(8));
  });
});

function causes(effects: readonly SyncEffect[]): readonly string[] {
  return effects.flatMap((effect) => (effect.kind === "close" ? [effect.cause] : []));
}
