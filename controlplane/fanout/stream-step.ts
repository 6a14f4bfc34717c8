/** The transitions of a stream; see `stream-state.ts`. */
import { isSameEpoch, revisionZero } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import type { Ack } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { isHeldByAgent } from "./doubt.ts";
import type { Introduction } from "./hello.ts";
import { isEqualByAck } from "./mismatch.ts";
import { pump } from "./pump.ts";
import { refuse } from "./refusal.ts";
import { end, endedStream, leave, nothing, releaseOf } from "./stream-ends.ts";
import { beginTurn, differs, follow, hold, queue, reconsider, start } from "./stream-progress.ts";
import { displace, giveUp, isUnanswered, stepCut, stepDigests } from "./stream-query.ts";
import type { Effect, OpenStream, Step, StreamEvent, StreamState, World } from "./stream-state.ts";

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
      return { state: endedStream, effects: nothing };
    case "tick":
      if (event.isLate || nowMs - state.sinceMs <= world.limits.helloMs) return { state, effects: nothing };
      return end(refuse("hello-late", "DEADLINE_EXCEEDED", `no Hello within ${world.limits.helloMs} ms`));
    // A message newer than this program may come first; the Hello is still awaited.
    case "unknown":
    case "written":
    case "published":
    case "confirmed":
    case "granted":
    case "displaced":
    case "cut-made":
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
    isAskable: true,
    mismatch: undefined,
    isOurs: held !== revisionZero,
    snapshotAfter: 0,
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
    heartbeat: { sequence: 0, atMs: nowMs, compares: undefined },
    unansweredWelcome: undefined,
    heardMs: nowMs,
  };
  return pump(world.isSynced ? start(state, world, nowMs) : { state, effects: nothing }, world, nowMs);
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
      return passed(stepDigests({ ...state, heardMs: nowMs }, event.digests, world, nowMs), world, nowMs);
    case "unknown":
      return { state: { ...state, heardMs: nowMs }, effects: nothing };
    case "refused":
      return end(event.refusal, state);
    case "written":
      return stepWritten({ ...state, writing: undefined }, world, nowMs);
    case "published":
      if (state.progress.kind === "waiting" && world.isSynced) return pump(start(state, world, nowMs), world, nowMs);
      return pump(reconsider(state, world), world, nowMs);
    case "confirmed":
      return pump(reconsider(state, world), world, nowMs);
    case "granted":
      if (state.progress.kind !== "queued") return { state, effects: [{ kind: "release-snapshot" }] };
      return pump(beginTurn(state, world, nowMs), world, nowMs);
    case "displaced":
      return displace(state);
    case "cut-made":
      return passed(stepCut(state, event.cut, world, nowMs), world, nowMs);
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
      return { state: endedStream, effects: releaseOf(state) };
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
    const compared = pump(compare(state, ack.digest, world), world, nowMs);
    return { state: compared.state, effects: [{ kind: "acked", ack, roundTripMs: undefined }, ...compared.effects] };
  }
  const isAnswer = ack.heartbeat !== 0n && ack.heartbeat === BigInt(state.heartbeat.sequence);
  const acked: Effect = { kind: "acked", ack, roundTripMs: isAnswer ? nowMs - state.heartbeat.atMs : undefined };
  const revision = Number(ack.revision) as Revision;
  // The ack may be read before the callback of the write that it answers.
  const isNews = revision > state.reported;
  const effects: readonly Effect[] = isNews ? [{ kind: "sent", revision }, acked] : [acked];
  const known = isNews ? { ...state, reported: revision } : state;
  // It runs what was sent here, or runs still what a kernel that is ahead of it held, and was heard since: it took the unconfirmed snapshot.
  const isHeard = revision !== revisionZero || ack.heartbeat > BigInt(state.snapshotAfter);
  const isTaken = isHeard && state.progress.kind === "following" && !isHeldByAgent(ack);
  if (isTaken && !state.isOurs) {
    return pump({ state: { ...known, isOurs: true }, effects }, world, nowMs);
  }
  return judged(known, ack, effects, world, nowMs);
}

// The digest of an ack, where it can be compared.
function judged(state: OpenStream, ack: Ack, effects: readonly Effect[], world: World, nowMs: number): Step {
  const isEqual = isEqualByAck(state, ack, world);
  if (isEqual === undefined || (isEqual && state.mismatch === undefined)) return { state, effects };
  if (isEqual) {
    const note: Effect = { kind: "note", note: { kind: "mended", revision: world.head } };
    return { state: { ...state, mismatch: undefined }, effects: [...effects, note] };
  }
  const next = differs(state, world, nowMs);
  return pump({ state: next.state, effects: [...effects, ...next.effects] }, world, nowMs);
}

// It answered the second Welcome, or never will.
function compare(state: OpenStream, digest: bigint | undefined, world: World): Step {
  if (digest === world.root) return follow(state, world.head);
  return queue(state, { doubt: undefined, isComparable: digest !== 0n, digest, isMismatch: false });
}

// What is not an end goes on to what can be written.
function passed(before: Step, world: World, nowMs: number): Step {
  return before.state.phase === "open" ? pump(before, world, nowMs) : before;
}

function stepWritten(state: OpenStream, world: World, nowMs: number): Step {
  const progress = state.progress;
  // The first commit passes over a stream whose Welcome or view is still being written.
  if (progress.kind === "waiting" && world.isSynced) return pump(start(state, world, nowMs), world, nowMs);
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
  const isSilentToWelcome = state.progress.kind === "comparing" && nowMs - state.progress.sinceMs > silentMs;
  if (isSilentToWelcome) return pump(compare(due, undefined, world), world, nowMs);
  if (!isLate && isUnanswered(due, world, nowMs)) return pump(giveUp(due, "unanswered", world, nowMs), world, nowMs);
  // What is confirmed by time has no event of its own.
  if (due.progress.kind === "held") return pump(reconsider(due, world), world, nowMs);
  return isHeartbeatDue ? pump({ state: due, effects: nothing }, world, nowMs) : { state, effects: nothing };
}
