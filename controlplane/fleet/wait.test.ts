import assert from "node:assert/strict";
import { test } from "node:test";
import { epoch } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import type { Choosability } from "./choosability.ts";
import { address } from "./testing-resources.ts";
import { notesMax, startWait, stepWait } from "./wait.ts";
import type { Wait, WaitEvent, WaitState, WaitTarget } from "./wait.ts";

const first = epoch(1_000, 1);
const second = epoch(2_000, 2);
const backend = { address: address("10.0.0.1"), port: 80 };
const drained: WaitTarget = { kind: "drained", backends: [backend] };
const ofRevision: WaitTarget = { kind: "revision", epoch: first, revision: 7 as Revision };
const deadlineMs = 100;

const head = (revision: number, choosability: Choosability["kind"], of = first, isSynced = true): WaitEvent => ({
  kind: "head",
  epoch: of,
  revision: revision as Revision,
  isSynced,
  choosability: [
    choosability === "absent" || choosability === "drained"
      ? { kind: choosability }
      : { kind: choosability, service: "a/web" },
  ],
});
const count = (needed: number, have: number, need: number, blocked?: string): WaitEvent => ({
  kind: "count",
  needed: needed as Revision,
  have,
  need,
  blocked,
});

const states = {
  unsynced: { kind: "unsynced" },
  choosable: { kind: "choosable", reason: "a/web can choose 10.0.0.1:80" },
  counting: { kind: "counting", needed: 7 as Revision },
  ended: { kind: "ended", outcome: "timeout" },
} as const satisfies Record<WaitState["kind"], WaitState>;

const events = {
  "head, unsynced": [head(9, "drained", first, false), 0],
  "head before the first commit": [head(0, "absent"), 0],
  "head, choosable": [head(9, "choosable"), 0],
  "head, by fallback": [head(9, "fallback"), 0],
  "head, drained": [head(9, "drained"), 0],
  "head, absent": [head(9, "absent"), 0],
  "head of another epoch, drained": [head(3, "drained", second), 0],
  "count, enough": [count(7, 3, 3), 0],
  "count, too few": [count(7, 2, 3), 0],
  "count, enough but blocked": [count(7, 3, 3, "no node is known"), 0],
  "count, of another revision": [count(6, 3, 3), 0],
  "clock, early": [{ kind: "clock" }, deadlineMs - 1],
  "clock, at the deadline": [{ kind: "clock" }, deadlineMs],
} as const satisfies Record<string, readonly [WaitEvent, number]>;

type Expected = "unsynced" | "choosable" | `counting ${number}` | "done" | "timeout" | "epoch-ended";
type Table = Record<keyof typeof events, Expected>;

const same = (state: Expected): Table => ({
  "head, unsynced": state,
  "head before the first commit": state,
  "head, choosable": state,
  "head, by fallback": state,
  "head, drained": state,
  "head, absent": state,
  "head of another epoch, drained": state,
  "count, enough": state,
  "count, too few": state,
  "count, enough but blocked": state,
  "count, of another revision": state,
  "clock, early": state,
  "clock, at the deadline": state,
});

const drainedTable: Record<WaitState["kind"], Table> = {
  unsynced: {
    ...same("unsynced"),
    "head, choosable": "choosable",
    "head, by fallback": "choosable",
    "head, drained": "counting 9",
    "head, absent": "counting 9",
    "head of another epoch, drained": "counting 3",
    "clock, at the deadline": "timeout",
  },
  choosable: {
    ...same("choosable"),
    "head, unsynced": "unsynced",
    "head before the first commit": "unsynced",
    "head, drained": "counting 9",
    "head, absent": "counting 9",
    "head of another epoch, drained": "counting 3",
    "clock, at the deadline": "timeout",
  },
  counting: {
    ...same("counting 7"),
    "head, unsynced": "unsynced",
    "head before the first commit": "unsynced",
    "head, choosable": "choosable",
    "head, by fallback": "choosable",
    "head of another epoch, drained": "counting 3",
    "count, enough": "done",
    "clock, at the deadline": "timeout",
  },
  ended: same("timeout"),
};

const revisionTable: Record<"counting" | "ended", Table> = {
  counting: {
    ...same("counting 7"),
    "head of another epoch, drained": "epoch-ended",
    "count, enough": "done",
    "clock, at the deadline": "timeout",
  },
  ended: same("timeout"),
};

function print(state: WaitState): string {
  if (state.kind === "counting") return `counting ${state.needed}`;
  return state.kind === "ended" ? state.outcome : state.kind;
}

for (const [target, table] of [
  [drained, drainedTable],
  [ofRevision, revisionTable],
] as const) {
  for (const [state, row] of Object.entries(table)) {
    for (const [name, expected] of Object.entries(row)) {
      test(`a wait for ${target.kind === "revision" ? "a revision" : "a drained backend"}: ${state} + ${name} = ${expected}`, () => {
        const wait: Wait = { ...startWait(target, first, deadlineMs), state: states[state as keyof typeof states] };
        const [event, nowMs] = events[name as keyof typeof events];
        assert.equal(print(stepWait(wait, event, nowMs).state), expected);
      });
    }
  }
}

test("a backend that can be chosen again starts the wait over at the later revision", () => {
  let wait = startWait(drained, first, deadlineMs);
  const seen: string[] = [];
  for (const event of [
    head(4, "choosable"),
    head(5, "drained"),
    head(6, "absent"),
    head(7, "choosable"),
    count(5, 3, 3),
    head(8, "drained"),
    count(8, 3, 3),
  ]) {
    wait = stepWait(wait, event, 0);
    seen.push(print(wait.state));
  }
  assert.deepEqual(seen, ["choosable", "counting 5", "counting 5", "choosable", "choosable", "counting 8", "done"]);
  assert.deepEqual(wait.notes, ["a/web can choose 10.0.0.1:80 again; the wait starts over"]);
});

test("the terminating fallback is noted once, and the wait goes on", () => {
  let wait = startWait(drained, first, deadlineMs);
  for (const event of [head(4, "fallback"), head(5, "fallback")]) wait = stepWait(wait, event, 0);
  assert.equal(wait.state.kind, "choosable");
  assert.equal(wait.notes.length, 1);
  assert.match(
    wait.notes[0] ?? "",
    /^a\/web has no ready endpoint, so it can still choose 10\.0\.0\.1:80, which is terminating/,
  );
});

test("all of several backends must be drained", () => {
  const backends = [backend, { address: address("10.0.0.2"), port: 80 }];
  const wait = startWait({ kind: "drained", backends }, first, deadlineMs);
  const both = (a: Choosability, b: Choosability): WaitEvent =>
    ({ ...head(9, "absent"), choosability: [a, b] }) as WaitEvent;
  const choosable: Choosability = { kind: "choosable", service: "a/web" };
  assert.equal(print(stepWait(wait, both({ kind: "drained" }, choosable), 0).state), "choosable");
  assert.equal(print(stepWait(wait, both(choosable, { kind: "absent" }), 0).state), "choosable");
  assert.equal(print(stepWait(wait, both({ kind: "drained" }, { kind: "absent" }), 0).state), "counting 9");
});

test("notes are bounded", () => {
  let wait = startWait(ofRevision, first, deadlineMs);
  for (let i = 0; i < notesMax + 10; i++) wait = stepWait(wait, count(7, 0, 1, `note ${i}`), 0);
  assert.equal(wait.notes.length, notesMax);
});
