/** The transitions of a reflector: `step(state, event)`. Pure: time and chance are parameters. */
import type { ApiFailure } from "./api-failure.ts";
import { delayMs, failedAgain } from "./backoff.ts";
import type {
  Memory,
  ReflectorEffect,
  ReflectorEvent,
  ReflectorLimits,
  ReflectorRequest,
  ReflectorState,
  Step,
  SyncReason,
} from "./reflector-state.ts";
import { compareVersions } from "./resource-version.ts";

/** Streams that may break before lists are tried: making progress beats the cheaper way. */
const streamsBrokenMax = 2;

/** What the decisions depend on beside state and event. */
export interface StepInput {
  /** Milliseconds of any clock. */
  readonly nowMs: number;
  /** At least 0 and below 1. */
  readonly jitter: number;
  readonly isOptional: boolean;
  readonly limits: ReflectorLimits;
}

/** Events that cannot come in a state change nothing. */
export function step(state: ReflectorState, event: ReflectorEvent, input: StepInput): Step {
  switch (event.kind) {
    case "start":
      return state.phase === "idle" ? sync(state.memory, input) : stay(state);
    case "due":
      if (state.phase !== "waiting") return stay(state);
      return state.next === "sync" ? sync(state.memory, input) : watch(state.memory, input);
    case "opened":
      if (state.phase !== "watching") return stay(state);
      return stay({ ...state, openedMs: state.openedMs ?? input.nowMs });
    case "page":
      return state.phase === "listing" ? takePage(state, event, input) : stay(state);
    case "object":
      return takeObject(state, event.version);
    case "bookmark":
      return takeBookmark(state, event, input);
    case "ended":
      return ended(state, input);
    case "failed":
      return failed(state, event.failure, input);
  }
}

function stay(state: ReflectorState, effects: readonly ReflectorEffect[] = []): Step {
  return { state, effects, request: undefined };
}

// Asks for everything: as a stream where that works, else as a list.
function sync(memory: Memory, input: StepInput): Step {
  if (input.nowMs >= memory.streamBlockedUntilMs) {
    const watchSeconds = pickWatchSeconds(input);
    const request: ReflectorRequest = { kind: "stream", timeoutSeconds: watchSeconds };
    return { state: { phase: "streaming", memory, sinceMs: input.nowMs, watchSeconds }, effects: [], request };
  }
  const limit = memory.isUnpaged ? 0 : input.limits.pageSize;
  const request: ReflectorRequest = {
    kind: "list",
    version: listVersion(memory),
    limit,
    continueToken: "",
  };
  return { state: { phase: "listing", memory, pages: 0, isPaged: limit > 0 }, effects: [], request };
}

// Not older than what is held; if the API server cannot say that, as it is now. At the start "0", whatever it has in its cache, is
// cheapest and good enough.
function listVersion({ version, isVersionLost }: Memory): string {
  if (isVersionLost) return "";
  return version === "" ? "0" : version;
}

function watch(memory: Memory, input: StepInput): Step {
  const watchSeconds = pickWatchSeconds(input);
  const request: ReflectorRequest = { kind: "watch", version: memory.version, timeoutSeconds: watchSeconds };
  const state: ReflectorState = { phase: "watching", memory, openedMs: undefined, watchSeconds, isAdvanced: false };
  return { state, effects: [], request };
}

function pickWatchSeconds({ limits, jitter }: StepInput): number {
  return Math.ceil(limits.watchSecondsMin * (1 + jitter));
}

function synced(memory: Memory, version: string): Memory {
  return { ...memory, version, isVersionLost: false, isSynced: true, streamsBroken: 0, isUnpaged: false };
}

function takePage(
  state: ReflectorState & { readonly phase: "listing" },
  page: ReflectorEvent & { readonly kind: "page" },
  input: StepInput,
): Step {
  const { memory } = state;
  if (page.continueToken === "") {
    const watching = watch(synced(memory, page.version), input);
    return { ...watching, effects: [{ kind: "replace", reason: memory.syncReason }] };
  }
  const pages = state.pages + 1;
  if (pages >= input.limits.pagesMax) {
    return failed(state, { kind: "malformed", message: `a list of more than ${pages} pages` }, input);
  }
  const { continueToken } = page;
  const request: ReflectorRequest = { kind: "list", version: "", limit: input.limits.pageSize, continueToken };
  return { state: { ...state, pages }, effects: [], request };
}

function takeObject(state: ReflectorState, version: string): Step {
  if (state.phase === "streaming") return stay(state, [{ kind: "collect" }]);
  if (state.phase !== "watching") return stay(state);
  if (isReplay(state.memory, version)) return stay(state, [{ kind: "skip" }]);
  return stay({ ...state, memory: { ...state.memory, version }, isAdvanced: true }, [{ kind: "apply" }]);
}

function takeBookmark(
  state: ReflectorState,
  bookmark: ReflectorEvent & { readonly kind: "bookmark" },
  input: StepInput,
): Step {
  const { memory } = state;
  if (state.phase === "streaming") {
    // An API server that does not know of initial events ignores the wish, and their end would never come.
    if (!bookmark.isInitialEnd) return listInstead(state, noInitialEnd, input);
    const { sinceMs: openedMs, watchSeconds } = state;
    const watching: ReflectorState = {
      phase: "watching",
      memory: synced(memory, bookmark.version),
      openedMs,
      watchSeconds,
      isAdvanced: true,
    };
    return stay(watching, [{ kind: "replace", reason: memory.syncReason }]);
  }
  if (state.phase !== "watching" || bookmark.isInitialEnd) return stay(state);
  const version = isReplay(memory, bookmark.version) ? memory.version : bookmark.version;
  return stay({ ...state, memory: { ...memory, version, hasBookmarks: true }, isAdvanced: true });
}

function isReplay(memory: Memory, version: string): boolean {
  const order = compareVersions(version, memory.version);
  return order !== undefined && order <= 0;
}

function ended(state: ReflectorState, input: StepInput): Step {
  if (state.phase === "streaming") {
    return failed(state, { kind: "torn", message: "it ended before the initial events were complete" }, input);
  }
  if (state.phase !== "watching") return stay(state);
  const isShort = input.nowMs - (state.openedMs ?? input.nowMs) < input.limits.shortWatchMs && !state.isAdvanced;
  return isShort ? failed(state, { kind: "short-watch" }, input) : watch(state.memory, input);
}

// What to do after a failure, before the wait.
interface Recovery {
  readonly next: "sync" | "watch";
  readonly memory: Memory;
  readonly effects: readonly ReflectorEffect[];
  /** The first failure after a good while is likely over at once. */
  readonly isQuick: boolean;
}

function failed(state: ReflectorState, failure: ApiFailure, input: StepInput): Step {
  if (state.phase === "idle" || state.phase === "waiting") return stay(state);
  const { limits, nowMs } = input;
  const report: ReflectorEffect = { kind: "report", failure };
  if (isAbsent(state, failure, input)) {
    const memory = { ...state.memory, isVersionLost: true, syncReason: "not-served" as const };
    return {
      state: { phase: "waiting", memory, next: "sync" },
      effects: [{ kind: "absent" }],
      request: { kind: "wait", delayMs: Math.round(limits.absentRetryMs * (1 + input.jitter)) },
    };
  }
  if (state.phase === "streaming" && isStreamRefused(failure)) return listInstead(state, failure, input);
  const { next, memory, effects, isQuick } = recover(state, failure, input);
  const backoff = failedAgain(memory.backoff, nowMs);
  const asked = failure.kind === "status" ? failure.retryAfterMs : undefined;
  const backoffMs = isQuick && backoff.failures === 1 ? 0 : delayMs(backoff, input.jitter, limits);
  return {
    state: { phase: "waiting", memory: { ...memory, backoff }, next },
    effects: [report, ...effects],
    request: {
      kind: "wait",
      delayMs: asked === undefined ? backoffMs : Math.max(backoffMs, Math.min(asked, limits.retryAfterMaxMs)),
    },
  };
}

const noInitialEnd: ApiFailure = { kind: "malformed", message: "a bookmark before the end of the initial events" };

function listInstead({ memory }: ReflectorState, failure: ApiFailure, input: StepInput): Step {
  const streamBlockedUntilMs = input.nowMs + input.limits.streamBlockedMs;
  return { ...sync({ ...memory, streamBlockedUntilMs }, input), effects: [{ kind: "fall-back", failure }] };
}

// Once synced, a 404 is a fault like any other, so that a proxy's 404 removes nothing.
function isAbsent(state: ReflectorState, failure: ApiFailure, { isOptional }: StepInput): boolean {
  if (!isOptional || failure.kind !== "status" || failure.code !== 404) return false;
  return !state.memory.isSynced;
}

// An API server without WatchList says 400 or 422; something between may say anything else.
function isStreamRefused(failure: ApiFailure): boolean {
  if (failure.kind !== "status" || failure.code < 400 || failure.code >= 500) return false;
  return ![401, 403, 404, 408, 410, 429].includes(failure.code);
}

function recover(state: ReflectorState, failure: ApiFailure, input: StepInput): Recovery {
  const { memory } = state;
  const same = state.phase === "watching" ? "watch" : "sync";
  const lost = (syncReason: SyncReason): Recovery => ({
    next: "sync",
    memory: {
      ...memory,
      isVersionLost: true,
      syncReason,
      isUnpaged: state.phase === "listing" && state.isPaged && state.pages > 0,
    },
    effects: [],
    isQuick: true,
  });
  const again = (isQuick: boolean, ...effects: ReflectorEffect[]): Recovery => ({
    next: same,
    memory: state.phase === "streaming" ? streamBroke(memory, failure, input) : memory,
    effects,
    isQuick,
  });
  // The watch may be of a history that is no more (an API server that came back with other data filters what is older
  // than the version asked for, bookmarks too, and says nothing): only asking for everything tells.
  const resync = (syncReason: SyncReason): Recovery =>
    state.phase === "watching"
      ? { next: "sync", memory: { ...memory, syncReason }, effects: [], isQuick: false }
      : again(false);

  switch (failure.kind) {
    case "status":
      if (failure.code === 410) return lost("expired");
      if (failure.isTooLarge) return lost("too-large");
      if (failure.code === 429) return again(false);
      // A balancer says 5xx while an API server is away; one that lost its data knows no token of before.
      return failure.code === 401
        ? { ...resync("outage"), effects: [{ kind: "renew" }], isQuick: true }
        : resync("outage");
    case "unreachable":
      // Also the address, the CA and the certificate may be other ones by now.
      return { ...resync("outage"), effects: [{ kind: "renew" }] };
    case "torn":
      // A watch is taken up again at once or not at all: while one waits, the API server may be restarted.
      return failedAgain(memory.backoff, input.nowMs).failures === 1 ? again(true) : resync("outage");
    case "silent":
      return resync("silent");
    case "malformed":
      return resync("malformed");
    case "short-watch":
      return again(false);
    case "credentials":
      return again(false, { kind: "renew" });
  }
}

// What is wrong with streams, as opposed to everything.
function streamBroke(memory: Memory, failure: ApiFailure, { nowMs, limits }: StepInput): Memory {
  const isOfStream =
    failure.kind === "torn" ||
    failure.kind === "silent" ||
    failure.kind === "malformed" ||
    (failure.kind === "status" && failure.code >= 500);
  if (!isOfStream) return memory;
  const streamsBroken = memory.streamsBroken + 1;
  return streamsBroken < streamsBrokenMax
    ? { ...memory, streamsBroken }
    : { ...memory, streamsBroken: 0, streamBlockedUntilMs: nowMs + limits.streamBlockedMs };
}
