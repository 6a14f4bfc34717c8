import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { epoch, revision } from "@weft/proto/cursor.ts";
import { initialState } from "./sync-state.ts";
import type { SyncEvent, SyncState } from "./sync-state.ts";
import { step } from "./sync-step.ts";

const jitter = 0.5;
const first = epoch(2_000, 1);
const second = epoch(3_000, 1);
const held = { epoch: first, revision: revision(5) };
const welcome = { kind: "welcome", isMemoryLog: true, heartbeatMs: 1_000, protocol: 1 } as const;
const connect = [{ kind: "tick" }, { kind: "connected" }] as const;
const whole = {
  kind: "delta",
  from: undefined,
  to: revision(7),
  part: 0,
  parts: 1,
  scope: "everything",
  buckets: [],
  isConfirmed: true,
  stray: undefined,
  removal: { services: 0, ofServices: 25 },
  malformed: undefined,
} as const;

interface Case {
  readonly name: string;
  readonly events: readonly SyncEvent[];
  /** After all of them. */
  readonly kind: SyncState["kind"];
}

const welcomed = [...connect, { ...welcome, epoch: second }] as const;
const cases: readonly Case[] = [
  {
    name: "one that only welcomed binds to nothing: the one before it is taken",
    events: [...welcomed, { kind: "ended" }, ...connect, { ...welcome, epoch: first }],
    kind: "following",
  },
  {
    name: "so it is after heartbeats, as of one whose source is not synced",
    events: [
      ...welcomed,
      { kind: "heartbeat", sequence: 1n },
      { kind: "ended" },
      ...connect,
      { ...welcome, epoch: first },
    ],
    kind: "following",
  },
  {
    name: "one that said Synced is gone back from by none",
    events: [
      ...welcomed,
      { kind: "synced", revision: revision(7) },
      { kind: "ended" },
      ...connect,
      { ...welcome, epoch: first },
    ],
    kind: "backing-off",
  },
  {
    name: "nor one whose snapshot was taken",
    events: [...welcomed, { kind: "node-view" }, whole, { kind: "ended" }, ...connect, { ...welcome, epoch: first }],
    kind: "backing-off",
  },
  {
    name: "a stream that was renamed is not renamed back",
    events: [...welcomed, { ...welcome, epoch: first }],
    kind: "backing-off",
  },
];

describe("epochs of control planes that come and go", () => {
  for (const { name, events, kind } of cases) {
    it(name, () => {
      let state: SyncState = initialState(held, held, 0);
      let nowMs = 0;
      for (const event of events) state = step(state, event, (nowMs += 10_000), jitter).state;
      assert.equal(state.kind, kind);
    });
  }
});
