/**
 * All streams of this control plane. A shell around `stream-state.ts`: it routes events to streams, carries out their effects
 * and shares the event loop between them. It knows no gRPC: a stream is a StreamPort.
 */
import { isSameEpoch, printEpoch, revisionZero } from "@weft/proto/cursor.ts";
import type { Epoch } from "@weft/proto/cursor.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { admitHello } from "./admission.ts";
import { aborted } from "./aborted.ts";
import { catalogWorld } from "./catalog-world.ts";
import { drain } from "./drain.ts";
import { eachPaced } from "./each-paced.ts";
import { EndLog } from "./end-log.ts";
import type { FanoutOptions } from "./fanout-options.ts";
import { Flush } from "./flush.ts";
import { HeldStreams, isHoldChanged } from "./held-streams.ts";
import { HelloPace } from "./hello-pace.ts";
import { areGoodAddresses, connectionOf } from "./hello.ts";
import { LingeringStreams } from "./lingering-streams.ts";
import { refuse } from "./refusal.ts";
import { RepairLog } from "./repair-log.ts";
import { reportedDigests } from "./reported-digests.ts";
import type { AgentRequest } from "./reported-digests.ts";
import type { GoawayWord } from "./responses.ts";
import { QuickWay } from "./quick-way.ts";
import { SentBefore } from "./sent-before.ts";
import { SnapshotQueue } from "./snapshot-queue.ts";
import type { StreamInput, StreamPort } from "./stream-port.ts";
import { SteadyStreams } from "./steady-streams.ts";
import { stuckSinceMs } from "./stream-query.ts";
import { greetingStream } from "./stream-state.ts";
import type { Effect, StreamEvent, World } from "./stream-state.ts";
import { Stream } from "./stream.ts";
import type { StreamOwner } from "./stream.ts";
import { step } from "./stream-step.ts";
import type { Streams, StreamSizes } from "./streams.ts";
import { urgencyOf } from "./urgency.ts";
import { Transfers } from "./transfers.ts";

const shutsDown = "the control plane shuts down";

export class Fanout implements Streams {
  readonly #options: FanoutOptions;
  readonly #catalog: Catalog;
  readonly #transfers: Transfers;
  readonly #turns: SnapshotQueue<Stream>;
  readonly #world: World;
  readonly #streams = new Set<Stream>();
  readonly #steady = new SteadyStreams<Stream>();
  readonly #quick: QuickWay;
  readonly #owner: StreamOwner;
  readonly #byNode = new Map<string, Stream>();
  readonly #held: HeldStreams<Stream>;
  readonly #sentBefore: SentBefore;
  readonly #pace: HelloPace;
  readonly #lingering: LingeringStreams<Stream>;
  readonly #endLog: EndLog;
  readonly #repairLog: RepairLog;
  #tickedMs: number;
  #drained: (() => void) | undefined;

  constructor(options: FanoutOptions) {
    this.#options = options;
    this.#catalog = options.catalog;
    this.#endLog = new EndLog(options.log);
    this.#repairLog = new RepairLog(options.log, options.metrics, options.catalog);
    this.#held = new HeldStreams(options.log, options.fleet);
    this.#tickedMs = options.now();
    this.#sentBefore = new SentBefore(options.fanoutLimits.agentsRememberedMax);
    this.#transfers = new Transfers(options.catalog, options.transferLimits, options.traceOf);
    const { pace, lingerMs } = options.fanoutLimits;
    this.#turns = new SnapshotQueue<Stream>({
      limits: options.fanoutLimits,
      now: options.now,
      granted: (stream) => this.#dispatch(stream, { kind: "granted" }),
      stuckSinceMs: (stream) => stuckSinceMs(this.#steady.stateOf(stream)),
      end: (stream) => this.#dispatch(stream, { kind: "displaced" }),
      idle: () => this.#transfers.forgetCuts(),
    });
    this.#pace = new HelloPace(pace);
    this.#lingering = new LingeringStreams(lingerMs);
    this.#world = catalogWorld(options, this.#transfers);
    this.#quick = new QuickWay({ ...options, steady: this.#steady, world: this.#world });
    this.#owner = {
      receive: (stream, request) => this.#receive(stream, request),
      refuse: (stream, refusal) => this.#dispatch(stream, { kind: "refused", refusal }),
      leave: (stream, reason, message, retryAfterMs) => this.#ask(stream, reason, message, retryAfterMs),
      closed: (stream, reason) => this.#closed(stream, reason),
      written: (stream) => this.#written(stream),
    };
  }

  get sizes(): StreamSizes {
    return { streams: this.#streams.size, agents: this.#byNode.size, snapshots: this.#turns.sizes };
  }

  get heldNodes(): readonly string[] {
    return this.#held.nodes;
  }

  removalConfirmed(): void {
    this.#dispatchToAll({ kind: "confirmed" });
  }

  open(port: StreamPort): StreamInput {
    const stream = new Stream(this.#owner, port, greetingStream(this.#options.now()));
    this.#steady.enter(stream);
    this.#streams.add(stream);
    if (this.#drained !== undefined) this.#ask(stream, "draining", shutsDown);
    else if (this.#streams.size > this.#options.fanoutLimits.streamsMax)
      this.#ask(stream, "overloaded", `${this.#streams.size} streams are open, no more are accepted`);
    return stream;
  }

  headDeltaBytes(): number {
    return this.#transfers.headDeltaBytes();
  }

  /** Sends the head to every stream that can be written. */
  broadcast(): Flush {
    const { now, metrics, fanoutLimits: limits } = this.#options;
    const flush = new Flush(now());
    const visit = (stream: Stream): void => {
      if (stream.state.phase !== "open") return;
      if (this.#steady.isWriting(stream)) {
        flush.skipped();
        metrics.skippedStreams.inc();
        return;
      }
      stream.flush = flush;
      flush.writing();
      const nowMs = now();
      if (!this.#quick.publish(stream, nowMs)) this.#dispatch(stream, { kind: "published" });
      if (stream.state.phase === "open" && !this.#steady.isWriting(stream)) this.#flushed(stream, nowMs);
    };
    eachPaced([...this.#streams], limits.streamsPerTurn, visit, () => {
      flush.complete(now());
    });
    return flush;
  }

  /** What `nodeView` answers for these nodes is another now. */
  viewsChanged(nodes: "all" | ReadonlySet<string>): void {
    const streams = nodes === "all" ? [...this.#streams] : [...nodes].flatMap((node) => this.#byNode.get(node) ?? []);
    eachPaced(streams, this.#options.fanoutLimits.streamsPerTurn, (stream) =>
      this.#dispatch(stream, { kind: "view-changed" }),
    );
  }

  /** Ticks until `signal` aborts, then asks every agent to leave and waits a while for them to go. */
  async run(signal: AbortSignal): Promise<void> {
    const timer = setInterval(() => this.tick(), this.#options.fanoutLimits.tickMs);
    try {
      await aborted(signal);
    } finally {
      clearInterval(timer);
    }
    await this.#drain();
  }

  /** Heartbeats and deadlines. */
  tick(): void {
    const { now, fanoutLimits: limits, streamLimits } = this.#options;
    const nowMs = now();
    // When this program was stopped for a while, what agents sent meanwhile is not read yet.
    const isLate = nowMs - this.#tickedMs > Math.max(limits.tickMs * 4, streamLimits.heartbeatMs / 2);
    this.#tickedMs = nowMs;
    const due = this.#steady.due(this.#world, nowMs);
    eachPaced(due, limits.streamsPerTurn, (stream) => this.#dispatch(stream, { kind: "tick", isLate }));
    if (isLate) return;
    this.#turns.tick(nowMs);
    for (const stream of this.#lingering.due(nowMs)) stream.port.drop();
  }

  /** The stream of this node, if there is one, ends: a newer one came from `peer`. */
  replaced(node: string, peer: string): void {
    const present = this.#byNode.get(node);
    if (present === undefined) return;
    const message = `a newer stream of node ${node} came from ${peer}`;
    this.#dispatch(present, { kind: "leave", reason: "replaced", message, retryAfterMs: 0 });
  }

  /** An agent says too much: it is not read for a while. */
  throttled(): void {
    this.#options.metrics.throttledStreams.inc();
  }

  // With some time until it may come back.
  #ask(stream: Stream, reason: GoawayWord, message: string, afterMs?: number): void {
    const retryAfterMs = afterMs ?? Math.ceil((1 + this.#options.random()) * this.#options.fanoutLimits.retryAfterMs);
    this.#dispatch(stream, { kind: "leave", reason, message, retryAfterMs });
  }

  async #drain(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#drained = resolve;
    if (this.#streams.size === 0) resolve();
    const { fanoutLimits: limits, random } = this.#options;
    const leave = { kind: "leave", reason: "draining", message: shutsDown } as const;
    await drain([...this.#streams], {
      ...limits,
      random,
      leave: (stream, retryAfterMs) => this.#dispatch(stream, { ...leave, retryAfterMs }),
      left: promise,
    });
    for (const stream of this.#streams) stream.port.reset(refuse("draining", "UNAVAILABLE", shutsDown));
  }

  #receive(stream: Stream, { message }: AgentRequest): void {
    this.#options.metrics.received.inc();
    switch (message.case) {
      case "hello":
        this.#hello(stream, message.value);
        return;
      case "ack":
        if (this.#quick.acked(stream, message.value, this.#options.now())) return;
        if (!areGoodAddresses(message.value.addresses, this.#options.streamLimits)) {
          const text = `Ack.addresses: at most ${this.#options.streamLimits.addressesMax}, of 4 or 16 bytes each`;
          this.#dispatch(stream, { kind: "refused", refusal: refuse("bad-ack", "INVALID_ARGUMENT", text) });
          return;
        }
        this.#dispatch(stream, { kind: "ack", ack: message.value });
        return;
      case "digests":
      case "reported":
        this.#dispatch(stream, { kind: "digests", digests: reportedDigests(message) });
        return;
      case undefined:
        this.#dispatch(stream, { kind: "unknown" });
    }
  }

  #hello(stream: Stream, hello: Extract<AgentRequest["message"], { case: "hello" }>["value"]): void {
    const { streamLimits: limits, version, now, fleet, metrics } = this.#options;
    if (stream.state.phase !== "greeting") {
      const message = `node ${stream.agent?.node} sent Hello twice on one stream; update the agent`;
      this.#dispatch(stream, { kind: "refused", refusal: refuse("hello-twice", "INVALID_ARGUMENT", message) });
      return;
    }
    const { identity, peer } = stream.port;
    const nowMs = now();
    const about = { identity, peer, epoch: this.#catalog.epoch, head: this.#catalog.head, limits, version, nowMs };
    const admission = admitHello(hello, about, (node) => {
      const present = this.#byNode.get(node);
      return present?.agent && { instance: present.agent.instance, peer: present.port.peer };
    });
    if (admission.kind === "refused") {
      this.#dispatch(stream, admission);
      return;
    }
    const { introduction } = admission;
    const { node, instance, cursor } = introduction;
    const pace = this.#pace.take(node, nowMs, this.#options.random());
    if (pace.kind === "later") {
      metrics.hellosDeferred.inc();
      this.#dispatch(stream, { ...pace, kind: "leave", reason: "overloaded" });
      return;
    }
    this.replaced(node, peer);
    if (admission.renameTo !== undefined) this.#rename(admission.renameTo, node);
    stream.agent = { node, instance };
    this.#byNode.set(node, stream);
    metrics.streamsOpened.inc();
    const epoch = this.#catalog.epoch;
    const applied = cursor !== undefined && isSameEpoch(cursor.epoch, epoch) ? cursor.revision : revisionZero;
    stream.node = fleet.connected(connectionOf(introduction, peer, applied), this.#nowUs());
    const elsewhere = this.#options.sentElsewhere?.(node) ?? revisionZero;
    const here = this.#sentBefore.recall(node, instance, epoch);
    this.#dispatch(stream, { kind: "hello", introduction, sentBefore: here > elsewhere ? here : elsewhere });
  }

  #rename(epoch: Epoch, node: string): void {
    const { log, metrics, fleet, renamed } = this.#options;
    metrics.renames.inc();
    log.warn("an agent holds a later epoch than ours, as after a clock that went back: this history is renamed", {
      node,
      before: printEpoch(this.#catalog.epoch),
      after: printEpoch(epoch),
    });
    renamed(epoch);
    fleet.epochStarted(epoch);
    this.epochRenamed();
  }

  /** The catalog's history goes on under another name. */
  epochRenamed(): void {
    // Agents that answer the new name may hold more than a cut made before.
    this.#transfers.forgetSnapshots();
    this.#dispatchToAll({ kind: "renamed" });
  }

  #dispatch(stream: Stream, event: StreamEvent): void {
    const before = this.#steady.stateOf(stream);
    const { state, effects } = step(before, event, this.#world, this.#options.now());
    if (state.phase === "ended" && before.phase === "open" && stream.agent !== undefined) {
      this.#sentBefore.remember(stream.agent.node, stream.agent.instance, this.#catalog.epoch, before.sent);
    }
    stream.state = state;
    this.#steady.put(stream);
    if (isHoldChanged(before, state)) {
      const isCurrent = this.#byNode.get(stream.agent?.node ?? "") === stream;
      this.#held.changed(stream, before, state, isCurrent, this.#catalog.services);
    }
    for (const effect of effects) this.#perform(stream, effect);
  }

  #perform(stream: Stream, effect: Effect): void {
    const { fleet } = this.#options;
    switch (effect.kind) {
      case "write":
        this.#quick.write(stream, effect.bytes);
        return;
      case "request-snapshot":
        this.#turns.request(stream, urgencyOf(stream.state, this.#catalog.root));
        return;
      case "release-snapshot":
        this.#turns.release(stream);
        return;
      case "await-cut":
        this.#transfers.whenCutMade((cut) => this.#dispatch(stream, { kind: "cut-made", cut }));
        return;
      case "note":
        this.#repairLog.noted(stream.agent?.node ?? "", effect.note, this.#options.now());
        return;
      case "sent":
        fleet.sent(stream.node, effect.revision);
        return;
      case "acked":
        fleet.acked(
          stream.node,
          effect.ack,
          effect.roundTripMs && Math.round(effect.roundTripMs * 1_000),
          this.#nowUs(),
        );
        return;
      case "end": {
        const { refusal } = effect;
        const { peer } = stream.port;
        this.#endLog.ended(
          refusal,
          stream.agent?.node ?? peer.slice(0, peer.lastIndexOf(":")),
          peer,
          this.#options.now(),
        );
        this.#leave(stream, refusal.reason);
        if (effect.isStuck) stream.port.reset(refusal);
        else stream.port.end(refusal);
        this.#lingering.ended(stream, this.#options.now());
      }
    }
  }

  #closed(stream: Stream, reason: string): void {
    this.#dispatch(stream, { kind: "closed" });
    this.#leave(stream, reason);
    this.#streams.delete(stream);
    this.#steady.leave(stream);
    this.#lingering.gone(stream);
    if (this.#streams.size === 0) this.#drained?.();
  }

  // Once per stream, at the first sign of its end.
  #leave(stream: Stream, reason: string): void {
    if (stream.hasLeft) return;
    stream.hasLeft = true;
    this.#flushed(stream, this.#options.now());
    this.#options.metrics.streamsEnded.with(reason).inc();
    const agent = stream.agent;
    if (agent === undefined || this.#byNode.get(agent.node) !== stream) return;
    this.#byNode.delete(agent.node);
    this.#options.fleet.disconnected(stream.node, agent.instance, reason, this.#nowUs());
  }

  #flushed(stream: Stream, nowMs: number): void {
    if (stream.flush === undefined) return;
    stream.flush.written(nowMs);
    stream.flush = undefined;
  }

  #written(stream: Stream): void {
    const nowMs = this.#options.now();
    this.#flushed(stream, nowMs);
    if (!this.#quick.written(stream)) this.#dispatch(stream, { kind: "written" });
    else if (!this.#quick.publish(stream, nowMs)) this.#dispatch(stream, { kind: "published" });
  }

  #dispatchToAll(event: StreamEvent): void {
    eachPaced([...this.#streams], this.#options.fanoutLimits.streamsPerTurn, (stream) => this.#dispatch(stream, event));
  }

  #nowUs(): number {
    return Math.round(this.#options.now() * 1_000);
  }
}
