import assert from "node:assert/strict";
import { test } from "node:test";
import { revisionZero } from "@weft/proto/cursor.ts";
import type { Need, OpenStream } from "./stream-state.ts";
import { urgencyOf } from "./urgency.ts";

const stream = (isOurs: boolean, need: Partial<Need>): OpenStream => ({
  phase: "open",
  node: "n1",
  progress: { kind: "queued", need: { digest: 0n, doubt: undefined, isComparable: true, isMismatch: false, ...need } },
  hasTurn: false,
  isOurs,
  snapshotAfter: 0,
  isAskable: true,
  mismatch: undefined,
  isRemovalConfirmed: false,
  sent: revisionZero,
  reported: revisionZero,
  writing: undefined,
  welcomed: undefined,
  owesWelcome: undefined,
  owesView: false,
  owesSynced: undefined,
  owesHeartbeat: false,
  nextHeartbeatMs: 0,
  heartbeat: { sequence: 0, atMs: 0, compares: undefined },
  unansweredWelcome: undefined,
  heardMs: 0,
});

const root = 77n;
const cases = [
  ["holds nothing", stream(false, { isComparable: false }), "wrong"],
  ["is behind the history", stream(true, {}), "wrong"],
  ["differs where it should not", stream(true, { isMismatch: true }), "wrong"],
  ["comes from another history", stream(false, {}), "verify"],
  ["refused what it holds already", stream(true, { doubt: { by: "agent", digest: root, services: 1 } }), "verify"],
] as const;

for (const [what, state, urgency] of cases) {
  test(`one that ${what} waits as "${urgency}"`, () => assert.equal(urgencyOf(state, root), urgency));
}
