import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ApiFailure } from "./api-failure.ts";
import { freshMemory, quietMsOf, reflectorLimits as limits } from "./reflector-state.ts";
import type { Memory, ReflectorEvent, ReflectorState } from "./reflector-state.ts";
import { step } from "./reflector-step.ts";
import type { StepInput } from "./reflector-step.ts";

const nowMs = 1_000_000;
const input: StepInput = { nowMs, jitter: 0, isOptional: false, limits };

const held: Memory = { ...freshMemory, version: "100", isSynced: true };
const blocked = { streamBlockedUntilMs: nowMs + 1 };

const states = {
  idle: { phase: "idle", memory: freshMemory },
  streaming: { phase: "streaming", memory: freshMemory, sinceMs: nowMs - 5_000, watchSeconds: 300 },
  restreaming: { phase: "streaming", memory: held, sinceMs: nowMs - 5_000, watchSeconds: 300 },
  listing: { phase: "listing", memory: { ...held, ...blocked }, pages: 0, isPaged: true },
  paging: { phase: "listing", memory: { ...held, ...blocked }, pages: 3, isPaged: true },
  unopened: { phase: "watching", memory: held, openedMs: undefined, watchSeconds: 300, isAdvanced: false },
  young: { phase: "watching", memory: held, openedMs: nowMs - 500, watchSeconds: 300, isAdvanced: false },
  watching: { phase: "watching", memory: held, openedMs: nowMs - 5_000, watchSeconds: 300, isAdvanced: false },
  waitingToSync: { phase: "waiting", memory: held, next: "sync" },
  waitingToWatch: { phase: "waiting", memory: held, next: "watch" },
} as const satisfies Record<string, ReflectorState>;

type StateName = keyof typeof states;

const status = (code: number, more: Partial<ApiFailure & { kind: "status" }> = {}): ReflectorEvent => ({
  kind: "failed",
  failure: { kind: "status", code, reason: "", message: "m", retryAfterMs: undefined, isTooLarge: false, ...more },
});

const events = {
  start: { kind: "start" },
  due: { kind: "due" },
  opened: { kind: "opened" },
  page: { kind: "page", version: "200", continueToken: "c" },
  lastPage: { kind: "page", version: "200", continueToken: "" },
  object: { kind: "object", version: "101" },
  oldObject: { kind: "object", version: "99" },
  sameObject: { kind: "object", version: "100" },
  bookmark: { kind: "bookmark", version: "150", isInitialEnd: false },
  oldBookmark: { kind: "bookmark", version: "50", isInitialEnd: false },
  initialEnd: { kind: "bookmark", version: "150", isInitialEnd: true },
  ended: { kind: "ended" },
  gone: status(410),
  tooLarge: status(504, { isTooLarge: true }),
  unauthorized: status(401),
  forbidden: status(403),
  notFound: status(404),
  unknownQuery: status(422),
  tooMany: status(429, { retryAfterMs: 7_000 }),
  broken: status(500),
  unreachable: { kind: "failed", failure: { kind: "unreachable", code: "ECONNREFUSED", message: "m" } },
  torn: { kind: "failed", failure: { kind: "torn", message: "m" } },
  silent: { kind: "failed", failure: { kind: "silent", afterMs: 1 } },
  malformed: { kind: "failed", failure: { kind: "malformed", message: "m" } },
  noCredentials: { kind: "failed", failure: { kind: "credentials", message: "m" } },
} as const satisfies Record<string, ReflectorEvent>;

type EventName = keyof typeof events;

// "effects -> request; state", in words: what was asked before and what it leads to.
function told(state: ReflectorState, event: ReflectorEvent, given: StepInput = input): string {
  const next = step(state, event, given);
  const effects = next.effects.map((effect) => (effect.kind === "replace" ? `replace:${effect.reason}` : effect.kind));
  const { request } = next;
  let asked = "";
  if (request?.kind === "wait")
    asked = `wait ${request.delayMs} then ${next.state.phase === "waiting" ? next.state.next : "?"}`;
  else if (request?.kind === "list")
    asked = `list ${request.continueToken === "" ? `@${request.version}` : `continue ${request.continueToken}`} limit ${request.limit}`;
  else if (request?.kind === "watch") asked = `watch @${request.version} ${request.timeoutSeconds}s`;
  else if (request !== undefined) asked = `stream ${request.timeoutSeconds}s`;
  const after = next.state.phase === "waiting" && next.state.memory.isVersionLost ? "lost" : "";
  return [effects.join("+"), asked, after].filter((part) => part !== "").join(" | ");
}

const nothing = "";

const waits: Record<EventName, string> = {
  start: nothing,
  due: "",
  opened: nothing,
  page: nothing,
  lastPage: nothing,
  object: nothing,
  oldObject: nothing,
  sameObject: nothing,
  bookmark: nothing,
  oldBookmark: nothing,
  initialEnd: nothing,
  ended: nothing,
  gone: nothing,
  tooLarge: nothing,
  unauthorized: nothing,
  forbidden: nothing,
  notFound: nothing,
  unknownQuery: nothing,
  tooMany: nothing,
  broken: nothing,
  unreachable: nothing,
  torn: nothing,
  silent: nothing,
  malformed: nothing,
  noCredentials: nothing,
};

const streams: Record<EventName, string> = {
  ...waits,
  object: "collect",
  oldObject: "collect",
  sameObject: "collect",
  bookmark: "fall-back | list @0 limit 500",
  oldBookmark: "fall-back | list @0 limit 500",
  initialEnd: "replace:start",
  ended: "report | wait 0 then sync",
  gone: "report | wait 0 then sync | lost",
  tooLarge: "report | wait 0 then sync | lost",
  unauthorized: "report+renew | wait 0 then sync",
  forbidden: "report | wait 800 then sync",
  notFound: "report | wait 800 then sync",
  unknownQuery: "fall-back | list @0 limit 500",
  tooMany: "report | wait 7000 then sync",
  broken: "report | wait 800 then sync",
  unreachable: "report+renew | wait 800 then sync",
  torn: "report | wait 0 then sync",
  silent: "report | wait 800 then sync",
  malformed: "report | wait 800 then sync",
  noCredentials: "report+renew | wait 800 then sync",
};

const lists: Record<EventName, string> = {
  ...streams,
  page: "list continue c limit 500",
  lastPage: "replace:start | watch @200 300s",
  object: nothing,
  oldObject: nothing,
  sameObject: nothing,
  bookmark: nothing,
  oldBookmark: nothing,
  initialEnd: nothing,
  ended: nothing,
  unknownQuery: "report | wait 800 then sync",
};

const watches: Record<EventName, string> = {
  ...waits,
  object: "apply",
  oldObject: "skip",
  sameObject: "skip",
  ended: "watch @100 300s",
  gone: "report | wait 0 then sync | lost",
  tooLarge: "report | wait 0 then sync | lost",
  unauthorized: "report+renew | wait 0 then sync",
  forbidden: "report | wait 800 then sync",
  notFound: "report | wait 800 then sync",
  unknownQuery: "report | wait 800 then sync",
  tooMany: "report | wait 7000 then watch",
  broken: "report | wait 800 then sync",
  unreachable: "report+renew | wait 800 then sync",
  torn: "report | wait 0 then watch",
  silent: "report | wait 800 then sync",
  malformed: "report | wait 800 then sync",
  noCredentials: "report+renew | wait 800 then watch",
};

const table: Record<StateName, Record<EventName, string>> = {
  idle: { ...waits, start: "stream 300s" },
  streaming: streams,
  restreaming: {
    ...streams,
    bookmark: "fall-back | list @100 limit 500",
    oldBookmark: "fall-back | list @100 limit 500",
    unknownQuery: "fall-back | list @100 limit 500",
  },
  listing: lists,
  paging: lists,
  unopened: { ...watches, ended: "report | wait 800 then watch" },
  young: { ...watches, ended: "report | wait 800 then watch" },
  watching: watches,
  waitingToSync: { ...waits, due: "stream 300s" },
  waitingToWatch: { ...waits, due: "watch @100 300s" },
};

describe("in the state", () => {
  for (const [stateName, expected] of Object.entries(table) as [StateName, Record<EventName, string>][]) {
    for (const [eventName, says] of Object.entries(expected) as [EventName, string][]) {
      test(`${stateName}, ${eventName}: ${says === "" ? "goes on" : says}`, () => {
        assert.equal(told(states[stateName], events[eventName]), says);
      });
    }
  }
});

describe("over time", () => {
  // Feeds events one after the other, `due` after each wait.
  function after(first: ReflectorState, ...fed: readonly ReflectorEvent[]): { state: ReflectorState; last: string } {
    let state = first;
    let last = "";
    for (const event of fed) {
      last = told(state, event);
      state = step(state, event, input).state;
    }
    return { state, last };
  }
  const { due, torn, gone, lastPage, initialEnd } = events;
  const busy = status(429);

  test("delays double from 0.8 s to 30 s, with as much jitter again, and begin anew after two minutes", () => {
    let state: ReflectorState = states.watching;
    const delays: number[] = [];
    for (let i = 0; i < 8; i++) {
      const failed = step(state, busy, input);
      delays.push(failed.request?.kind === "wait" ? failed.request.delayMs : -1);
      state = step(failed.state, due, input).state;
    }
    assert.deepEqual(delays, [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
    assert.equal(told(state, busy, { ...input, nowMs: nowMs + 120_001 }), "report | wait 800 then watch");
    assert.equal(told(states.watching, busy, { ...input, jitter: 0.5 }), "report | wait 1200 then watch");
  });

  test("what is over at once the first time is waited for the second time", () => {
    assert.equal(after(states.watching, torn, due, torn).last, "report | wait 1600 then sync");
    assert.equal(after(states.watching, gone, due, gone).last, "report | wait 1600 then sync | lost");
  });

  test("a watch that broke is taken up again at once or not at all", () => {
    assert.equal(after(states.watching, torn, due).last, "watch @100 300s");
    assert.equal(after(states.watching, busy, due, torn, due).last, "stream 300s");
  });

  test("Retry-After is obeyed up to a limit, and never shortens the wait", () => {
    assert.equal(told(states.watching, status(503, { retryAfterMs: 1 })), "report | wait 800 then sync");
    assert.equal(told(states.watching, status(429, { retryAfterMs: 1e9 })), "report | wait 300000 then watch");
  });

  test("after a 410 lists are asked for as of now, and then again not older than what is held", () => {
    assert.equal(after(states.watching, gone, due).last, "stream 300s");
    assert.equal(after(states.listing, gone, due).last, "list @ limit 500");
    assert.equal(after(states.listing, gone, due, lastPage).last, "replace:expired | watch @200 300s");
    assert.equal(after(states.watching, gone, due, initialEnd, events.ended).last, "watch @150 300s");
  });

  test("a continue token that expired leads to one list without pages", () => {
    const { state, last } = after(states.paging, gone, due);
    assert.equal(last, "list @ limit 0");
    assert.equal(after(state, lastPage, events.silent, due).last, "list @200 limit 500");
  });

  test("a list without end is a fault", () => {
    const most = { ...states.listing, pages: limits.pagesMax - 1 };
    assert.equal(told(most, events.page), "report | wait 800 then sync");
  });

  test("streams that break twice in a row give way to lists, for a while", () => {
    assert.equal(after(states.streaming, torn, due).last, "stream 300s");
    assert.equal(after(states.streaming, torn, due, torn, due).last, "list @0 limit 500");
    const { state } = after(states.streaming, torn, due, torn, due, lastPage, events.silent);
    assert.equal(told(state, due, { ...input, nowMs: nowMs + limits.streamBlockedMs }), "stream 300s");
    assert.equal(after(states.streaming, events.unreachable, due, events.unreachable, due).last, "stream 300s");
  });

  test("a kind that may be missing and is not served is empty, and looked for now and then", () => {
    const optional = { ...input, isOptional: true };
    assert.equal(told(states.streaming, events.notFound, optional), "absent | wait 300000 then sync | lost");
    // Once it was there, a 404 is a fault, and removes nothing.
    assert.equal(told(states.restreaming, events.notFound, optional), "report | wait 800 then sync");
  });

  test("versions that are no numbers are taken as they come", () => {
    const memory = { ...held, version: "b" };
    const next = step({ ...states.watching, memory }, { kind: "object", version: "a" }, input);
    assert.deepEqual([next.effects[0]?.kind, next.state.memory.version], ["apply", "a"]);
  });

  test("an older bookmark does not take the version back", () => {
    const next = step(states.watching, events.oldBookmark, input);
    assert.equal(next.state.memory.version, "100");
    assert.equal(step(states.watching, events.bookmark, input).state.memory.version, "150");
  });

  test("a short watch that brought a bookmark or an event is none", () => {
    assert.equal(after(states.young, events.bookmark, events.ended).last, "watch @150 300s");
    assert.equal(after(states.young, events.oldObject, events.ended).last, "report | wait 800 then watch");
  });

  test("silence is bounded by bookmarks where they come, else by the end of the watch", () => {
    assert.equal(quietMsOf(states.watching, limits), 330_000);
    assert.equal(quietMsOf(step(states.watching, events.bookmark, input).state, limits), 150_000);
    assert.equal(quietMsOf(states.unopened, limits), 75_000);
    assert.equal(quietMsOf(states.streaming, limits), 75_000);
  });

  test("watches are asked for 5 to 10 minutes", () => {
    assert.equal(told(states.idle, events.start, { ...input, jitter: 0.999 }), "stream 600s");
  });
});
