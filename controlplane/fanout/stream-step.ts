/** The transitions of a stream; see `stream-state.ts`. */
import { isSameEpoch, revisionZero } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { answerTo, isHeldByAgent } from "./doubt.ts";
import type { Doubt } from "./doubt.ts";
import type { Introduction } from "./hello.ts";
import { pump } from "./pump.ts";
import { refuse } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import { encodeGoaway } from "./responses.ts";
import type { GoawayWord } from "./responses.ts";
import type { Effect, OpenStream, Step, StreamEvent, StreamState, World } from "./stream-state.ts";

const ended: StreamState = { phase: "ended" };
const nothing: readonly Effect[] = [];

export function step(state: StreamState, event: StreamEvent, world: World, nowMs: number): Step {
  switch (state.phase) {
    case "greeting":
      return stepGreeting(state, event, world, nowMs);
    case "open":
      return stepOpen(state, event, world, nowMs);
    case "ended":
      return { state, effects: nothing };
  }
}

function stepGreeting(
  state: Extract<StreamState, { phase: "greeting" }>,
  event: StreamEvent,
  world: World,
  nowMs: number,
): Step {
  switch (event.kind) {
    case "hello":
      return open(event.introduction, event.sentBefore, world, nowMs);
    case "ack":
    case "digests":
      return end(
        refuse(
          "ack-before-hello",
          "INVALID_ARGUMENT",
          "the first message of a stream must be a Hello; update the agent",
        ),
      );
    case "refused":
      return end(event.refusal);
    case "leave":
      return leave(undefined, event);
    case "closed":
      return { state: ended, effects: nothing };
    case "tick":
      if (event.isLate || nowMs - state.sinceMs <= world.limits.helloMs) return { state, effects: nothing };
      return end(refuse("hello-late", "DEADLINE_EXCEEDED", `no Hello within ${world.limits.helloMs} ms`));
    // A message newer than this program may come first; the Hello is still awaited.
    case "unknown":
    case "written":
    case "published":
    case "confirmed":
    case "granted":
    case "renamed":
    case "view-changed":
      return { state, effects: nothing };
  }
}

function open(introduction: Introduction, sentBefore: Revision, world: World, nowMs: number): Step {
  const { cursor, digest, services } = introduction;
  const held = cursor !== undefined && isSameEpoch(cursor.epoch, world.epoch) ? cursor.revision : revisionZero;
  const state: OpenStream = {
    phase: "open",
    node: introduction.node,
    progress: { kind: "waiting", cursor, digest, services },
    hasTurn: false,
    isOurs: held !== revisionZero,
    isRemovalConfirmed: false,
    sent: held > sentBefore ? held : sentBefore,
    reported: held,
    writing: undefined,
    welcomed: undefined,
    owesWelcome: "first",
    owesView: true,
    owesSynced: "at-head",
    owesHeartbeat: false,
    nextHeartbeatMs: nowMs + Math.min(world.limits.firstHeartbeatMs, world.limits.heartbeatMs),
    heartbeat: { sequence: 0, atMs: nowMs },
    unansweredWelcome: undefined,
    heardMs: nowMs,
  };
  return pump(world.isSynced ? start(state, world) : { state, effects: nothing }, world, nowMs);
}

function stepOpen(state: OpenStream, event: StreamEvent, world: World, nowMs: number): Step {
  switch (event.kind) {
    case "hello":
      return end(
        refuse(
          "hello-twice",
          "INVALID_ARGUMENT",
          `node ${state.node} sent Hello twice on one stream; update the agent`,
        ),
        state,
      );
    case "ack":
      return stepAck({ ...state, heardMs: nowMs }, event.ack, world, nowMs);
    case "digests":
      return end(
        refuse("digests-unasked", "INVALID_ARGUMENT", `node ${state.node} sent digests that nobody asked for`),
        state,
      );
    case "unknown":
      return { state: { ...state, heardMs: nowMs }, effects: nothing };
    case "refused":
      return end(event.refusal, state);
    case "written":
      return stepWritten({ ...state, writing: undefined }, world, nowMs);
    case "published":
      if (state.progress.kind === "waiting" && world.isSynced) return pump(start(state, world), world, nowMs);
      return pump(reconsider(state, world), world, nowMs);
    case "confirmed":
      return pump(reconsider(state, world), world, nowMs);
    case "granted":
      if (state.progress.kind !== "queued") return { state, effects: [{ kind: "release-snapshot" }] };
      return pump(beginSnapshot(state, world, nowMs), world, nowMs);
    case "renamed":
      // One that came after the renaming has the new name already.
      if (state.welcomed !== undefined && isSameEpoch(state.welcomed, world.epoch)) return { state, effects: nothing };
      return pump({ state: { ...state, owesWelcome: state.owesWelcome ?? "again" }, effects: nothing }, world, nowMs);
    case "view-changed":
      return pump({ state: { ...state, owesView: true }, effects: nothing }, world, nowMs);
    case "tick":
      return stepTick(state, event.isLate, world, nowMs);
    case "leave":
      return leave(state, event);
    case "closed":
      return { state: ended, effects: releaseOf(state) };
  }
}

function stepAck(state: OpenStream, ack: Ack, world: World, nowMs: number): Step {
  const node = `node ${state.node}`;
  if (ack.failures.length > world.limits.failuresMax) {
    return end(
      refuse("bad-ack", "INVALID_ARGUMENT", `${node}: an ack may list ${world.limits.failuresMax} failures`),
      state,
    );
  }
  if (ack.heartbeat > BigInt(state.heartbeat.sequence)) {
    return end(
      refuse("bad-ack", "INVALID_ARGUMENT", `${node} answers heartbeat ${ack.heartbeat}, which was never sent`),
      state,
    );
  }
  // Until the agent has answered the second Welcome its acks are of the epoch before: a sign of life, no more.
  if (state.owesWelcome === "again") return { state, effects: nothing };
  if (state.unansweredWelcome !== undefined) {
    if (ack.heartbeat < BigInt(state.unansweredWelcome)) return { state, effects: nothing };
    return stepAck({ ...state, unansweredWelcome: undefined }, ack, world, nowMs);
  }
  if (ack.revision > BigInt(state.sent)) {
    return end(
      refuse("ack-of-future", "INVALID_ARGUMENT", `${node} acks revision ${ack.revision}, sent was ${state.sent}`),
      state,
    );
  }
  if (isHeldByAgent(ack) && !state.isRemovalConfirmed && state.progress.kind !== "held") {
    const held = pump(hold(state, ack, world), world, nowMs);
    return { state: held.state, effects: [{ kind: "acked", ack, roundTripMs: undefined }, ...held.effects] };
  }
  if (state.progress.kind === "comparing") {
    const compared = pump(follow(state, ack.digest === world.root, world), world, nowMs);
    return { state: compared.state, effects: [{ kind: "acked", ack, roundTripMs: undefined }, ...compared.effects] };
  }
  const isAnswer = ack.heartbeat !== 0n && ack.heartbeat === BigInt(state.heartbeat.sequence);
  const acked: Effect = { kind: "acked", ack, roundTripMs: isAnswer ? nowMs - state.heartbeat.atMs : undefined };
  const revision = Number(ack.revision) as Revision;
  // The ack may be read before the callback of the write that it answers.
  if (revision <= state.reported) return { state, effects: [acked] };
  return { state: { ...state, reported: revision }, effects: [{ kind: "sent", revision }, acked] };
}

function stepWritten(state: OpenStream, world: World, nowMs: number): Step {
  const progress = state.progress;
  // The first commit passes over a stream whose Welcome or view is still being written.
  if (progress.kind === "waiting" && world.isSynced) return pump(start(state, world), world, nowMs);
  if (progress.kind === "held") return pump(reconsider(state, world), world, nowMs);
  if (progress.kind !== "following") return pump({ state, effects: nothing }, world, nowMs);
  // What was written before the second Welcome is of the epoch before.
  const isNews = progress.cursor > state.reported && state.owesWelcome !== "again";
  if (!isNews && !state.hasTurn) return pump({ state, effects: nothing }, world, nowMs);
  const effects: Effect[] = [];
  if (isNews) effects.push({ kind: "sent", revision: progress.cursor });
  if (state.hasTurn) effects.push({ kind: "release-snapshot" });
  const reported = isNews ? progress.cursor : state.reported;
  return pump({ state: { ...state, reported, hasTurn: false }, effects }, world, nowMs);
}

function stepTick(state: OpenStream, isLate: boolean, world: World, nowMs: number): Step {
  const limits = world.limits;
  const silentMs = limits.heartbeatMs * limits.silentIntervals;
  if (!isLate && state.writing !== undefined && nowMs - state.writing.sinceMs > limits.stalledMs) {
    const message = `node ${state.node} read nothing for ${limits.stalledMs} ms`;
    return leave(state, { reason: "stalled", message, retryAfterMs: 0 });
  }
  if (!isLate && nowMs - state.heardMs > silentMs) {
    return leave(state, {
      reason: "silent",
      message: `node ${state.node} sent nothing for ${silentMs} ms`,
      retryAfterMs: 0,
    });
  }
  const isHeartbeatDue = nowMs >= state.nextHeartbeatMs;
  const due = isHeartbeatDue ? { ...state, owesHeartbeat: true, nextHeartbeatMs: nowMs + limits.heartbeatMs } : state;
  // An agent that never answers the second Welcome must not keep old content for ever.
  const isUnanswered = state.progress.kind === "comparing" && nowMs - state.progress.sinceMs > silentMs;
  if (isUnanswered) return pump(follow(due, false, world), world, nowMs);
  // What is confirmed by time has no event of its own.
  if (due.progress.kind === "held") return pump(reconsider(due, world), world, nowMs);
  return isHeartbeatDue ? pump({ state: due, effects: nothing }, world, nowMs) : { state, effects: nothing };
}

// The source is synced: where does this agent go on?
function start(state: OpenStream, world: World): Step {
  if (state.progress.kind !== "waiting") return { state, effects: nothing };
  const { cursor, digest, services } = state.progress;
  if (cursor !== undefined && isSameEpoch(cursor.epoch, world.epoch) && world.delta(cursor.revision) !== undefined) {
    return { state: { ...state, progress: { kind: "following", cursor: cursor.revision } }, effects: nothing };
  }
  if (state.isOurs) return follow(state, digest === world.root, world);
  const doubt: Doubt = { by: "control-plane", digest, services };
  return reconsider({ ...state, progress: { kind: "held", doubt } }, world);
}

// It holds what the head holds, or it needs a snapshot.
function follow(state: OpenStream, isEqual: boolean, world: World): Step {
  if (!isEqual) return queue(state, undefined);
  const sent = world.head > state.sent ? world.head : state.sent;
  const progress = { kind: "following", cursor: world.head } as const;
  return { state: { ...state, progress, owesSynced: "at-cursor", sent, isOurs: true }, effects: nothing };
}

function queue(state: OpenStream, doubt: Doubt | undefined): Step {
  return { state: { ...state, progress: { kind: "queued", doubt } }, effects: [{ kind: "request-snapshot" }] };
}

// It did not activate what it was sent: from here on only a confirmed snapshot counts, and Synced again behind that.
function hold(state: OpenStream, ack: Ack, world: World): Step {
  const doubt: Doubt = { by: "agent", digest: ack.digest, services: ack.counts?.services ?? 0 };
  const held: OpenStream = {
    ...state,
    progress: { kind: "held", doubt },
    hasTurn: false,
    isOurs: false,
    owesSynced: "at-head",
  };
  const next = reconsider(held, world);
  return { state: next.state, effects: [...releaseOf(state), ...next.effects] };
}

// Is it still doubted?
function reconsider(state: OpenStream, world: World): Step {
  if (state.progress.kind !== "held") return { state, effects: nothing };
  const { doubt } = state.progress;
  switch (answerTo(doubt, world).kind) {
    case "hold":
      return { state, effects: nothing };
    case "synced":
      return follow(state, true, world);
    case "snapshot":
      return queue(state, doubt);
  }
}

// Its turn for a snapshot has come. What was no longer doubted when it asked may be again.
function beginSnapshot(state: OpenStream, world: World, nowMs: number): Step {
  if (state.progress.kind !== "queued") return { state, effects: nothing };
  const { doubt } = state.progress;
  const answer = answerTo(doubt, world);
  if (answer.kind !== "snapshot") {
    const held = doubt === undefined ? state : ({ ...state, progress: { kind: "held", doubt } } as const);
    return { state: reconsider(held, world).state, effects: [{ kind: "release-snapshot" }] };
  }
  const { isMassRemovalConfirmed, isGood } = answer;
  const transfer = world.snapshot(nowMs, isMassRemovalConfirmed, isGood);
  return {
    state: {
      ...state,
      hasTurn: true,
      isRemovalConfirmed: isMassRemovalConfirmed,
      progress: { kind: "transferring", transfer, next: 0 },
    },
    effects: nothing,
  };
}

function leave(
  state: OpenStream | undefined,
  why: { readonly reason: GoawayWord; readonly message: string; readonly retryAfterMs: number },
): Step {
  const refusal = refuse(why.reason, why.reason === "draining" ? "OK" : "UNAVAILABLE", why.message);
  const isStuck = state?.writing !== undefined && why.reason !== "draining";
  const last: Effect = { kind: "end", refusal, isStuck };
  const goaway: Effect = { kind: "write", bytes: encodeGoaway(why.reason, why.message, why.retryAfterMs) };
  const effects = isStuck ? [last] : [goaway, last];
  return { state: ended, effects: state === undefined ? effects : [...releaseOf(state), ...effects] };
}

function end(refusal: Refusal, state?: OpenStream): Step {
  const effect: Effect = { kind: "end", refusal, isStuck: false };
  return { state: ended, effects: state === undefined ? [effect] : [...releaseOf(state), effect] };
}

// A stream that ends gives back its turn, or its place in the queue.
function releaseOf(state: OpenStream): readonly Effect[] {
  return state.hasTurn || state.progress.kind === "queued" ? [{ kind: "release-snapshot" }] : nothing;
}
