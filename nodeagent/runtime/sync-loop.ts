/**
 * Runs the conversation with a control plane: feeds the sync state with what happens, and does what it says. Time, chance, the
 * stream and the timer are here; every decision is in sync/sync-step.ts.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { isSameEpoch, revisionZero } from "@weft/proto/cursor.ts";
import type { Cursor, Revision } from "@weft/proto/cursor.ts";
import { NodeViewSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Delta, DigestQuery, NodeView, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { NodeAddressing } from "../plan/node-addressing.ts";
import { countsToTell, noOutcome, outcomeOf, pruningOf } from "../sync/outcome-of.ts";
import {
  deltaEvent,
  failuresMaxOf,
  goawayEvent,
  isSameView,
  messageBytesMaxOf,
  nodeViewEvent,
  syncedEvent,
  welcomeEvent,
} from "../sync/received-message.ts";
import { readPart } from "../sync/received-resource.ts";
import type { ReceivedPart } from "../sync/received-resource.ts";
import type { Store } from "../sync/store.ts";
import { covers, dueAtMs, position } from "../sync/sync-state.ts";
import type {
  DeltaScope,
  Session,
  Standing,
  SyncEffect,
  SyncEvent,
  SyncLimits,
  SyncState,
} from "../sync/sync-state.ts";
import { step } from "../sync/sync-step.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import { AntiEntropy } from "./anti-entropy.ts";
import type { DiscoveryStream, OpenStream } from "./discovery-stream.ts";
import { mergeFailures } from "./failures.ts";
import type { NodeFailure } from "./failures.ts";
import { ackMessage, helloMessage } from "./messages.ts";
import type { HelloFacts } from "./messages.ts";
import type { ReceivedTrace } from "./round-trace.ts";
import type { RoundTracer } from "./round-tracer.ts";
import type { Rounds } from "./rounds.ts";
import { SyncLog } from "./sync-log.ts";
import type { StreamEnd } from "./stream-end.ts";

export interface SyncLoopOptions {
  readonly node: string;
  readonly instance: bigint;
  readonly versions: HelloFacts["versions"];
  readonly openStream: OpenStream;
  readonly store: Store;
  readonly rounds: Rounds;
  readonly metrics: AgentMetrics;
  readonly log: Log;
  readonly limits: SyncLimits;
  readonly initial: SyncState;
  readonly addressing: NodeAddressing;
  /** Names of the services that an agent before this one left live, ahead of the store. Undefined: a floor does not stand. */
  readonly liveServices: ReadonlySet<string> | undefined;
  /** Notices of health check node ports. */
  readonly healthFailures: () => readonly NodeFailure[];
  /** Undefined: nothing is traced. */
  readonly tracer: RoundTracer | undefined;
}

export class SyncLoop {
  readonly #options: SyncLoopOptions;
  #state: SyncState;
  #stream: DiscoveryStream | undefined;
  #timer: NodeJS.Timeout | undefined;
  // Parts of a delta that is not complete.
  #parts: ReceivedPart[] = [];
  #part: ReceivedPart | undefined;
  // Of the delta that these are of.
  #trace: ReceivedTrace | undefined;
  #receivedAtMs = 0;
  #view: NodeView | undefined;
  #query: DigestQuery | undefined;
  #failuresMax = 0;
  #messageBytesMax = 0;
  // Highest heartbeat that the next ack answers; undefined: no ack is due.
  #ackDue: bigint | undefined;
  #addressing: NodeAddressing;
  #toldAddressing: NodeAddressing | undefined;
  // While a floor stands.
  #liveServices: ReadonlySet<string> | undefined;
  readonly #log: SyncLog;
  readonly #antiEntropy: AntiEntropy;

  constructor(options: SyncLoopOptions) {
    this.#options = options;
    this.#log = new SyncLog(options.log, options.metrics);
    this.#antiEntropy = new AntiEntropy(options.store, options.metrics, this.#log);
    this.#state = options.initial;
    this.#addressing = options.addressing;
    this.#liveServices = options.liveServices;
  }

  get state(): SyncState {
    return this.#state;
  }

  /** The full current list. */
  get failures(): readonly NodeFailure[] {
    const { rounds, healthFailures } = this.#options;
    return mergeFailures({
      notices: rounds.notices,
      health: healthFailures(),
      dataplane: rounds.failures,
      activation: rounds.activationFailure,
      held: this.#state.kind === "holding" ? this.#state.removal : undefined,
    });
  }

  /** Heartbeats that agreed with what was held. */
  get agreements(): number {
    return this.#antiEntropy.agreements;
  }

  /** What is live, or the list of failures, changed. */
  changed(): void {
    this.#dispatch({ kind: "changed" });
  }

  addressingChanged(addressing: NodeAddressing): void {
    this.#addressing = addressing;
    this.#dispatch({ kind: "changed" });
  }

  /** Follows a control plane until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    this.#dispatch({ kind: "tick" });
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    clearTimeout(this.#timer);
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.close();
  }

  #dispatch(event: SyncEvent): void {
    const before = this.#state;
    const stepped = step(before, event, performance.now(), Math.random(), this.#options.limits);
    this.#state = stepped.state;
    for (const effect of stepped.effects) this.#do(effect);
    if (stepped.state.standing.floor === undefined) {
      this.#liveServices = undefined;
      this.#options.rounds.open();
    }
    const isOpen = stepped.state.kind === "following" || stepped.state.kind === "holding";
    this.#options.metrics.connected.set(isOpen ? 1 : 0);
    if (stepped.state.kind === "holding" && before.kind !== "holding") this.#log.held(stepped.state.removal);
    if (before.kind === "holding" && stepped.state.kind === "following") {
      this.#options.log.info("the mass removal was confirmed: following again");
    }
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const ms = Math.max(0, dueAtMs(this.#state) - performance.now());
    this.#timer = setTimeout(() => this.#dispatch({ kind: "tick" }), Math.ceil(ms)).unref();
  }

  #do(effect: SyncEffect): void {
    switch (effect.kind) {
      case "connect":
        return this.#connect();
      case "hello":
        void this.#hello();
        return;
      case "close":
        return this.#close(effect);
      case "stage":
        if (this.#part !== undefined) this.#parts.push(this.#part);
        return;
      case "discard":
        this.#parts = [];
        return;
      case "commit":
        return this.#commit(effect.cursor, effect.scope);
      case "advance":
        this.#options.rounds.committed(undefined, effect.cursor, undefined);
        return;
      case "view":
        return this.#takeView();
      case "ack":
        this.#ackDue = effect.heartbeat > (this.#ackDue ?? 0n) ? effect.heartbeat : (this.#ackDue ?? 0n);
        return this.#flush();
      case "digests":
        return this.#digests();
    }
  }

  #connect(): void {
    this.#ackDue = undefined;
    this.#toldAddressing = undefined;
    // Callbacks come later than this function returns, and are void once another stream took its place.
    const stream: DiscoveryStream = this.#options.openStream({
      connected: () => {
        if (this.#stream === stream) this.#dispatch({ kind: "connected" });
      },
      message: (message) => {
        if (this.#stream === stream) this.#receive(message);
      },
      drained: () => {
        if (this.#stream === stream) this.#flush();
      },
      ended: (end) => {
        if (this.#stream === stream) this.#ended(end);
      },
    });
    this.#stream = stream;
  }

  // A claim to hold what is not live would be taken for an ack: so first what was received goes live.
  async #hello(): Promise<void> {
    const { node, instance, versions, store, rounds } = this.#options;
    const stream = this.#stream;
    await rounds.settled();
    if (stream === undefined || this.#stream !== stream) return;
    const { cursor, floor } = this.#state.standing;
    const isLive = floor !== undefined || (cursor !== undefined && covers(rounds.active?.cursor, cursor));
    this.#toldAddressing = this.#addressing;
    stream.send(
      helloMessage({
        node,
        instance,
        cursor: isLive ? cursor : undefined,
        digest: store.digest,
        counts: countsToTell(store, this.#liveServices),
        addressing: this.#addressing,
        versions,
      }),
    );
  }

  #receive(message: SyncResponse): void {
    const stream = this.#stream;
    this.#receivedAtMs = performance.now();
    const { welcome, nodeView, delta, synced, heartbeat, digestQuery, goaway } = message;
    if (delta !== undefined || synced !== undefined) this.#antiEntropy.answered();
    // In the order of their fields; one that ends the stream ends the message.
    const readers: readonly (() => void)[] = [
      () => {
        if (welcome === undefined) return;
        this.#failuresMax = failuresMaxOf(welcome);
        this.#messageBytesMax = messageBytesMaxOf(welcome);
        this.#dispatch(welcomeEvent(welcome));
        if (this.#stream === stream) this.#log.welcomed(this.#state, welcome.version);
      },
      () => {
        if (nodeView === undefined) return;
        this.#view = nodeView;
        this.#dispatch(nodeViewEvent(nodeView));
      },
      () => {
        if (delta !== undefined) this.#receiveDelta(delta);
      },
      () => {
        if (synced !== undefined) this.#dispatch(syncedEvent(synced));
      },
      () => {
        if (heartbeat === undefined) return;
        this.#antiEntropy.compare(this.#state, heartbeat, performance.now());
        this.#dispatch({ kind: "heartbeat", sequence: heartbeat.sequence });
      },
      () => {
        if (digestQuery === undefined) return;
        this.#query = digestQuery;
        this.#dispatch({ kind: "digest-query" });
      },
      () => {
        if (goaway !== undefined) this.#dispatch(goawayEvent(goaway));
      },
    ];
    for (const read of readers) {
      if (this.#stream !== stream) return;
      read();
    }
  }

  #receiveDelta(delta: Delta): void {
    const { store, tracer } = this.#options;
    if (tracer !== undefined) this.#trace = tracer.received(delta, this.#receivedAtMs, this.#trace);
    const reading = readPart(delta);
    const part = reading.kind === "part" ? reading.part : undefined;
    this.#part = part;
    const isLast = delta.part + 1 >= Math.max(1, delta.parts);
    const whole = isLast && part !== undefined ? [...this.#parts, part] : undefined;
    const outcome = whole && outcomeOf(whole, delta, store, this.#liveServices);
    const malformed = reading.kind === "malformed" ? reading.reason : undefined;
    this.#dispatch(deltaEvent(delta, malformed, outcome ?? noOutcome));
    this.#part = undefined;
  }

  #commit(cursor: Cursor, scope: DeltaScope): void {
    const { store, rounds, metrics } = this.#options;
    const change =
      scope === "buckets" ? this.#antiEntropy.repair(this.#parts, cursor) : store.commit(this.#parts, pruningOf(scope));
    const listed = this.#parts.reduce((sum, { puts }) => sum + puts.size, 0);
    if (listed >= bulkResourcesMin) rounds.cameInBulk();
    if (scope === "since") for (const { triggers } of this.#parts) rounds.triggered(triggers);
    if (this.#trace !== undefined) rounds.traced(this.#trace);
    this.#trace = undefined;
    this.#parts = [];
    metrics.deltasReceived.with(scope).inc();
    rounds.committed(change, cursor, this.#receivedAtMs);
  }

  #takeView(): void {
    const { rounds } = this.#options;
    if (this.#view !== undefined && !isSameView(this.#view, rounds.view))
      rounds.nodeViewChanged(copyOfView(this.#view));
  }

  #digests(): void {
    const state = this.#state;
    if (this.#query === undefined || (state.kind !== "following" && state.kind !== "holding")) return;
    const at = position(state.standing, state.session);
    for (const message of this.#antiEntropy.answer(at, this.#query, this.#messageBytesMax)) {
      this.#stream?.send(message);
    }
  }

  // Only the newest ack waits, and only until the one before has left.
  #flush(): void {
    const { store, rounds } = this.#options;
    const state = this.#state;
    const stream = this.#stream;
    if (this.#ackDue === undefined || stream?.isWritable !== true) return;
    if (state.kind !== "following" && state.kind !== "holding") return;
    const active = this.#activeIn(state.session, state.standing);
    const addressing = this.#toldAddressing === this.#addressing ? undefined : this.#addressing;
    this.#toldAddressing = this.#addressing;
    const message = ackMessage(
      {
        ...active,
        appliedAtUs: rounds.active?.appliedAtUs ?? 0,
        durations: rounds.active?.durations ?? { receivedToActiveUs: 0, planUs: 0, stageUs: 0, persistUs: 0 },
        failures: this.failures,
        heartbeat: this.#ackDue,
        addressing,
        counts: countsToTell(store, this.#liveServices),
      },
      this.#failuresMax,
    );
    this.#ackDue = undefined;
    stream.send(message);
    this.#options.tracer?.acked(active.revision, performance.now());
  }

  // With a floor the kernel runs more than is held: what is held is the part of it whose digest is known.
  #activeIn(session: Session, standing: Standing): { readonly revision: Revision; readonly digest: bigint } {
    const { store, rounds } = this.#options;
    if (standing.floor !== undefined) {
      const isOfEpoch = isSameEpoch(standing.floor.epoch, session.epoch);
      return { revision: isOfEpoch ? position(standing, session) : revisionZero, digest: store.digest };
    }
    const active = rounds.active;
    if (active === undefined || !isSameEpoch(active.cursor.epoch, session.epoch)) {
      return { revision: revisionZero, digest: store.digest };
    }
    // Of what is held now, where that is what is live: what went wrong since the round must show.
    const isHeld = standing.cursor !== undefined && covers(active.cursor, standing.cursor);
    return { revision: active.cursor.revision, digest: isHeld ? store.digest : active.digest };
  }

  #close(effect: Extract<SyncEffect, { readonly kind: "close" }>): void {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.close();
    this.#antiEntropy.answered();
    this.#log.ended(effect, performance.now());
  }

  #ended(end: StreamEnd): void {
    this.#stream = undefined;
    this.#antiEntropy.answered();
    this.#log.ended(end, performance.now());
    this.#dispatch({ kind: "ended" });
  }
}

/** A delta of this many resources leaves garbage that is worth a pause. */
const bulkResourcesMin = 20_000;

// Decoded addresses are views of the received message, which must not stay.
function copyOfView(view: NodeView): NodeView {
  return fromBinary(NodeViewSchema, toBinary(NodeViewSchema, view));
}
