/** Decides what follows from each event of the conversation with a control plane. Pure; SPEC.md numbers the rules. */
import type { Cursor, Epoch } from "@weft/proto/cursor.ts";
import { compareEpochs, isSameEpoch, printEpoch, revisionZero } from "@weft/proto/cursor.ts";
import { digestBuckets } from "@weft/proto/digest.ts";
import { backoffMs } from "./backoff.ts";
import { covers, defaultSyncLimits, position, silentIntervals } from "./sync-state.ts";
import type {
  DeltaEvent,
  EndCause,
  Partial,
  Session,
  Standing,
  SyncEffect,
  SyncEvent,
  SyncLimits,
  SyncState,
  SyncStep,
} from "./sync-state.ts";

/** This agent's number of the protocol; a control plane may be one away. */
export const protocolNumber = 1;
export const connectDeadlineMs = 10_000;
export const heartbeatDefaultMs = 10_000;
/** Bounds of what a `Welcome` may ask for. */
export const heartbeatMinMs = 20;
export const heartbeatMaxMs = 600_000;
/** Longest time that a control plane may send this agent away for. */
export const retryAfterMaxMs = 5 * 60_000;
/** After this long without any acceptable control plane an older epoch of a memory log is taken. */
export const olderEpochAfterMs = 5 * 60_000;

type Open = Extract<SyncState, { readonly session: Session }>;

/** @param jitter From 0 to 1, exclusive: used if this step ends a stream. */
export function step(
  state: SyncState,
  event: SyncEvent,
  nowMs: number,
  jitter: number,
  limits: SyncLimits = defaultSyncLimits,
): SyncStep {
  switch (state.kind) {
    case "backing-off":
      if (event.kind !== "tick" || nowMs < state.retryAtMs) return same(state);
      return {
        state: { kind: "connecting", standing: state.standing, deadlineMs: nowMs + connectDeadlineMs },
        effects: [{ kind: "connect" }],
      };
    case "connecting":
      return stepConnecting(state, event, nowMs, jitter);
    case "greeting":
      return stepGreeting(state, event, nowMs, jitter);
    case "following":
    case "holding":
      return stepOpen(state, event, nowMs, jitter, limits);
  }
}

function stepConnecting(
  state: Extract<SyncState, { readonly kind: "connecting" }>,
  event: SyncEvent,
  nowMs: number,
  jitter: number,
): SyncStep {
  switch (event.kind) {
    case "connected":
      return {
        state: { kind: "greeting", standing: state.standing, deadlineMs: nowMs + silentIntervals * heartbeatDefaultMs },
        effects: [{ kind: "hello" }],
      };
    case "ended":
      return backOff(state.standing, nowMs, jitter, []);
    case "tick":
      return nowMs < state.deadlineMs
        ? same(state)
        : end(state.standing, nowMs, jitter, "connect-timeout", `no connection within ${connectDeadlineMs} ms`);
    default:
      return same(state);
  }
}

function stepGreeting(
  state: Extract<SyncState, { readonly kind: "greeting" }>,
  event: SyncEvent,
  nowMs: number,
  jitter: number,
): SyncStep {
  switch (event.kind) {
    case "welcome":
      return welcome(state.standing, event, nowMs, jitter);
    case "ended":
      return backOff(state.standing, nowMs, jitter, []);
    case "goaway":
      return goaway(state.standing, event, nowMs, jitter);
    case "tick":
      return nowMs < state.deadlineMs
        ? same(state)
        : end(
            state.standing,
            nowMs,
            jitter,
            "silent",
            "no Welcome: the other end is no Weft control plane, or it is stuck",
          );
    case "malformed":
      return end(state.standing, nowMs, jitter, "malformed", event.reason);
    case "connected":
    case "changed":
      return same(state);
    default:
      return protocolError(state.standing, nowMs, jitter, `${event.kind} before Welcome`);
  }
}

function stepOpen(state: Open, event: SyncEvent, nowMs: number, jitter: number, limits: SyncLimits): SyncStep {
  const { standing, session } = state;
  if (event.kind === "tick") {
    const silentMs = silentIntervals * session.heartbeatMs;
    if (nowMs < session.heardAtMs + silentMs) return same(state);
    return end(standing, nowMs, jitter, "silent", `nothing heard for ${silentMs} ms`);
  }
  if (event.kind === "ended") return backOff(standing, nowMs, jitter, [{ kind: "discard" }]);
  if (event.kind === "connected") return same(state);
  if (event.kind === "changed") return { state, effects: [{ kind: "ack", heartbeat: 0n }] };
  const heard = hear(state, nowMs);
  switch (event.kind) {
    case "welcome":
      return renamed(heard, event, nowMs, jitter);
    case "node-view":
      return { state: { ...heard, session: { ...heard.session, hasView: true } }, effects: [{ kind: "view" }] };
    case "delta":
      return delta(heard, event, nowMs, jitter, limits);
    case "synced":
      return synced(heard, event.revision, nowMs, jitter);
    case "heartbeat":
      return { state: calmed(heard), effects: [{ kind: "ack", heartbeat: event.sequence }] };
    case "digest-query":
      return { state: heard, effects: [{ kind: "digests" }] };
    case "goaway":
      return goaway(standing, event, nowMs, jitter);
    case "malformed":
      return end(standing, nowMs, jitter, "malformed", event.reason);
  }
}

type WelcomeEvent = Extract<SyncEvent, { readonly kind: "welcome" }>;

function welcome(standing: Standing, event: WelcomeEvent, nowMs: number, jitter: number): SyncStep {
  const refused = refusal(standing, event, nowMs);
  if (refused !== undefined) return end(standing, nowMs, jitter, refused.cause, refused.message);
  const session: Session = {
    epoch: event.epoch,
    heartbeatMs: clampHeartbeat(event.heartbeatMs),
    heardAtMs: nowMs,
    hasView: false,
  };
  return {
    state: { kind: "following", standing: accept(standing, event.epoch, nowMs), session, partial: undefined },
    effects: [],
  };
}

// I10: a new name for the same content. What is held stays; nothing of the new epoch is active yet.
function renamed(state: Open, event: WelcomeEvent, nowMs: number, jitter: number): SyncStep {
  // A control plane never renames itself back, whether or not anything of the later name was held.
  const refused = refusal({ ...state.standing, newestEpoch: state.session.epoch }, event, nowMs);
  if (refused !== undefined) return end(state.standing, nowMs, jitter, refused.cause, refused.message);
  const session = { ...state.session, epoch: event.epoch, heartbeatMs: clampHeartbeat(event.heartbeatMs) };
  return {
    state: { ...state, standing: accept(state.standing, event.epoch, nowMs), session, partial: undefined },
    effects: [{ kind: "discard" }, { kind: "ack", heartbeat: 0n }],
  };
}

function refusal(
  standing: Standing,
  event: WelcomeEvent,
  nowMs: number,
): { readonly cause: EndCause; readonly message: string } | undefined {
  if (Math.abs(event.protocol - protocolNumber) > 1) {
    return {
      cause: "protocol-version",
      message: `the control plane speaks protocol ${event.protocol}, this agent ${protocolNumber}: upgrade the older one`,
    };
  }
  const newest = standing.newestEpoch;
  if (newest === undefined || compareEpochs(event.epoch, newest) >= 0) return undefined;
  if (event.isMemoryLog && nowMs - standing.acceptableAtMs >= olderEpochAfterMs) return undefined;
  return {
    cause: "older-epoch",
    message: `the control plane is in epoch ${printEpoch(event.epoch)}, older than ${printEpoch(newest)} that this node runs`,
  };
}

// I11: a later epoch counts once something of it is held (`reach`): a control plane that welcomed and went away before it gave any
// state must not keep the node from the one before it. An older one that is taken counts at once.
function accept(standing: Standing, epoch: Epoch, nowMs: number): Standing {
  const newest = standing.newestEpoch;
  const isOlder = newest !== undefined && compareEpochs(epoch, newest) < 0;
  return { ...standing, newestEpoch: isOlder ? epoch : newest, acceptableAtMs: nowMs };
}

function delta(state: Open, event: DeltaEvent, nowMs: number, jitter: number, limits: SyncLimits): SyncStep {
  const { standing, session } = state;
  if (state.kind === "holding" && (event.scope === "since" || !event.isConfirmed)) {
    return { state: { ...state, partial: undefined }, effects: [{ kind: "discard" }] };
  }
  if (event.malformed !== undefined) return end(standing, nowMs, jitter, "malformed", event.malformed);
  const wrong = deltaFault(state, event);
  if (wrong !== undefined) return protocolError(standing, nowMs, jitter, wrong);
  if (event.part + 1 < event.parts) {
    const { from, to, parts, scope, buckets, isConfirmed } = event;
    const partial: Partial = { from, to, nextPart: event.part + 1, parts, scope, buckets, isConfirmed };
    return { state: { ...state, partial }, effects: [{ kind: "stage" }] };
  }
  if (event.stray !== undefined) return protocolError(standing, nowMs, jitter, event.stray);
  if (event.scope !== "since" && !event.isConfirmed && isMassRemoval(event, limits)) {
    return {
      state: { kind: "holding", standing, session, partial: undefined, removal: event.removal },
      effects: [{ kind: "discard" }, { kind: "ack", heartbeat: 0n }],
    };
  }
  const cursor: Cursor = { epoch: session.epoch, revision: event.to };
  return {
    state: { kind: "following", standing: reach(standing, cursor, false), session, partial: undefined },
    effects: [{ kind: "stage" }, { kind: "commit", cursor, scope: event.scope }],
  };
}

// What is wrong with this part here and now (I3, I4, I5); undefined: nothing.
function deltaFault({ standing, session, partial }: Open, event: DeltaEvent): string | undefined {
  if (!session.hasView) return "a delta before NodeView";
  if (event.to < 1) return `a delta to revision ${event.to}`;
  if ((event.from === undefined) !== (event.scope !== "since")) return "a delta must have either `from` or a scope";
  if (event.part >= event.parts) return `part ${event.part} of ${event.parts}`;
  if (event.scope === "buckets" && !areBuckets(event.buckets)) {
    return `a repair of the buckets ${JSON.stringify(event.buckets.slice(0, 8))}`;
  }
  if (partial === undefined) {
    if (event.part !== 0) return `part ${event.part} of a delta whose first part did not come`;
    const at = position(standing, session);
    if (event.to < at) return `a delta to ${event.to}, behind the cursor ${at}`;
    if (event.from !== undefined && (event.from !== at || at === 0))
      return `a delta from ${event.from} at cursor ${at}`;
    return undefined;
  }
  const isSame =
    partial.from === event.from &&
    partial.to === event.to &&
    partial.parts === event.parts &&
    partial.scope === event.scope &&
    partial.buckets.length === event.buckets.length &&
    partial.buckets.every((bucket, i) => bucket === event.buckets[i]) &&
    partial.isConfirmed === event.isConfirmed;
  if (!isSame) return `part ${event.part} of another delta while part ${partial.nextPart} of ${partial.parts} was due`;
  return event.part === partial.nextPart ? undefined : `part ${event.part} while part ${partial.nextPart} was due`;
}

// Ascending, and at least one: a repair that names none would be one of everything to whoever reads it so.
function areBuckets(buckets: readonly number[]): boolean {
  return buckets.length > 0 && buckets.every((bucket, i) => bucket < digestBuckets && bucket > (buckets[i - 1] ?? -1));
}

function isMassRemoval({ removal }: DeltaEvent, limits: SyncLimits): boolean {
  if (limits.massRemovalPercent === 0 || removal.services < limits.massRemovalServicesMin) return false;
  return removal.services * 100 > removal.ofServices * limits.massRemovalPercent;
}

function synced(state: Open, revision: Cursor["revision"], nowMs: number, jitter: number): SyncStep {
  const { standing, session } = state;
  // I8: what was held back is not held, whatever the control plane believes.
  if (state.kind === "holding") return same(state);
  if (state.partial !== undefined) return protocolError(standing, nowMs, jitter, "Synced within a delta");
  const at = position(standing, session);
  if (revision < at) return protocolError(standing, nowMs, jitter, `Synced at ${revision}, behind the cursor ${at}`);
  const calm = { ...state, standing: { ...standing, attempt: 0 } };
  if (revision === revisionZero) return same(calm);
  const cursor: Cursor = { epoch: session.epoch, revision };
  const reached = reach(calm.standing, cursor, true);
  const isNews = revision !== at || reached.floor !== standing.floor;
  return { state: { ...calm, standing: reached }, effects: isNews ? [{ kind: "advance", cursor }] : [] };
}

// The store holds `cursor` from now on (I11, I12). A floor of this epoch falls when it is reached, of another one at `Synced` (I12).
function reach(standing: Standing, cursor: Cursor, isSynced: boolean): Standing {
  const { floor } = standing;
  const isPassed =
    floor === undefined || covers(cursor, floor) || (isSynced && !isSameEpoch(cursor.epoch, floor.epoch));
  return { ...standing, cursor, newestEpoch: cursor.epoch, floor: isPassed ? undefined : floor };
}

// I15: never sooner than by the own backoff, so that one that sends everybody away is not hammered.
function goaway(
  standing: Standing,
  event: Extract<SyncEvent, { readonly kind: "goaway" }>,
  nowMs: number,
  jitter: number,
): SyncStep {
  const message = `the control plane asked to leave: ${event.message || "no reason given"}`;
  const left = backOff(standing, nowMs, jitter, [{ kind: "discard" }, { kind: "close", cause: "goaway", message }]);
  if (left.state.kind !== "backing-off") return left;
  const asked = nowMs + Math.min(event.retryAfterMs, retryAfterMaxMs);
  return { ...left, state: { ...left.state, retryAtMs: Math.max(left.state.retryAtMs, asked) } };
}

function protocolError(standing: Standing, nowMs: number, jitter: number, message: string): SyncStep {
  return end(standing, nowMs, jitter, "protocol-error", message);
}

function end(standing: Standing, nowMs: number, jitter: number, cause: EndCause, message: string): SyncStep {
  return backOff(standing, nowMs, jitter, [{ kind: "discard" }, { kind: "close", cause, message }]);
}

function backOff(standing: Standing, nowMs: number, jitter: number, effects: readonly SyncEffect[]): SyncStep {
  return {
    state: {
      kind: "backing-off",
      standing: { ...standing, attempt: standing.attempt + 1 },
      retryAtMs: nowMs + backoffMs(standing.attempt, jitter),
    },
    effects,
  };
}

function hear<S extends Open>(state: S, nowMs: number): S {
  return {
    ...state,
    standing: { ...state.standing, acceptableAtMs: nowMs },
    session: { ...state.session, heardAtMs: nowMs },
  };
}

function calmed<S extends Open>(state: S): S {
  return { ...state, standing: { ...state.standing, attempt: 0 } };
}

function clampHeartbeat(ms: number): number {
  return ms === 0 ? heartbeatDefaultMs : Math.min(heartbeatMaxMs, Math.max(heartbeatMinMs, ms));
}

function same(state: SyncState): SyncStep {
  return { state, effects: [] };
}
