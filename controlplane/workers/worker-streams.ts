/**
 * The streams of all agents, served by worker threads on one port. This thread keeps the source, the catalog that counts, and the
 * fleet; a commit is written once into memory that all workers read, and told to each. What workers tell comes back in order.
 */
import { toBinary } from "@bufbuild/protobuf";
import { printEpoch, revisionZero } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import { NodeViewSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Log, LogLevel } from "@weft/proto/program/log.ts";
import type { HostPort } from "@weft/proto/program/socket-address.ts";
import type { ServerSecurity } from "@weft/proto/program/tls-flags.ts";
import { noTriggers } from "@weft/proto/trigger-times.ts";
import type { Commit } from "../catalog/resource.ts";
import { aborted } from "../fanout/aborted.ts";
import type { FanoutOptions } from "../fanout/fanout-options.ts";
import type { CreditLimits } from "../fanout/receive-credit.ts";
import type { CommitFlush, Streams, StreamSizes } from "../fanout/streams.ts";
import { Transfers } from "../fanout/transfers.ts";
import { Claims } from "./claims.ts";
import type { ClaimAnswer } from "./claims.ts";
import { Connections } from "./connections.ts";
import { ForwardedCalls } from "./forwarded-calls.ts";
import { GatheredFlush } from "./gathered-flush.ts";
import { sharedCommit, sharedPlaces } from "./shared-commit.ts";
import { addCounts } from "./worker-counts.ts";
import { limitsOfWorker } from "./worker-limits.ts";
import type { Claim, FromWorker, ListenerTimes, ToWorker, WorkerBatch, WorkerStart } from "./worker-messages.ts";
import { WorkerSlot } from "./worker-slot.ts";
import type { WorkerThread } from "./worker-slot.ts";

/** Beyond its drain a worker has this long to close its connections. */
const closeMs = 3_000;
/** Shared memory beyond twice that of the head by so much is given back: everything is written anew, once. */
const sharedSlackBytes = 16 * 1_024 * 1_024;

export interface WorkerStreamsOptions {
  /** At least 2. */
  readonly workers: number;
  readonly logLevel: LogLevel;
  readonly credit?: CreditLimits | undefined;
  readonly listener?: ListenerTimes | undefined;
  /** A worker's event loop was so late, at one look. */
  readonly late?: (seconds: number) => void;
  /** Starts a worker. Default: in a thread. */
  readonly spawn?: ((start: WorkerStart) => WorkerThread) | undefined;
}

export class WorkerStreams implements Streams, AsyncDisposable {
  /** Where the fleet service is added. */
  readonly calls: ForwardedCalls;
  readonly #options: FanoutOptions;
  readonly #workers: WorkerStreamsOptions;
  readonly #log: Log;
  readonly #slots: readonly WorkerSlot[];
  readonly #claims: Claims;
  readonly #connections: Connections;
  readonly #transfers: Transfers;
  readonly #flushes = new Map<Revision, GatheredFlush>();
  #security: ServerSecurity = { kind: "insecure" };
  #isRemovalConfirmed = false;
  #renames = 0;
  #sharedBytes = 0;
  #tickedMs = 0;

  constructor(options: FanoutOptions, workers: WorkerStreamsOptions) {
    this.#options = options;
    this.#workers = workers;
    this.#log = options.log;
    this.calls = new ForwardedCalls(options.log);
    this.#transfers = new Transfers(options.catalog, options.transferLimits);
    const { catalog, fleet, fanoutLimits, metrics } = options;
    this.#claims = new Claims({
      epoch: () => catalog.epoch,
      head: () => catalog.head,
      limits: options.streamLimits,
      pace: fanoutLimits.pace,
      agentsRememberedMax: fanoutLimits.agentsRememberedMax,
      now: options.now,
      random: options.random,
      answer: (worker, claim, answer) => this.#answer(worker, claim, answer),
      replace: (worker, node, by) => this.#slot(worker)?.post({ kind: "replace", node, by }),
      rename: (epoch, node) => this.#rename(epoch, node),
      lost: (node, instance, reason) => {
        metrics.streamsEnded.with(reason).inc();
        this.#connections.lost(node);
        fleet.disconnected(node, instance, reason, this.#nowUs());
      },
    });
    this.#connections = new Connections(this.#claims, fleet);
    this.#slots = Array.from({ length: workers.workers }, (_, i) => this.#makeSlot(i + 1));
  }

  /** Worker threads that run. */
  get running(): number {
    return this.#slots.filter(({ isRunning }) => isRunning).length;
  }

  /** Times that a worker was started again. */
  get restarts(): number {
    return this.#slots.reduce((sum, { restarts }) => sum + restarts, 0);
  }

  /** By worker: time in which its event loop was not idle, since it was started last. */
  get busySeconds(): ReadonlyMap<number, number> {
    return new Map(this.#slots.map(({ worker, busySeconds }) => [worker, busySeconds]));
  }

  get sizes(): StreamSizes {
    const sum = (of: (sizes: StreamSizes) => number): number =>
      this.#slots.reduce((total, { sizes }) => total + of(sizes), 0);
    return {
      streams: sum(({ streams }) => streams),
      agents: sum(({ agents }) => agents),
      snapshots: {
        inFlight: sum(({ snapshots }) => snapshots.inFlight),
        stuck: sum(({ snapshots }) => snapshots.stuck),
        waiting: sum(({ snapshots }) => snapshots.waiting),
      },
    };
  }

  get heldNodes(): readonly string[] {
    return this.#connections.heldNodes;
  }

  /** Starts the workers. @returns "HOST:PORT" as bound. @throws ProgramError if one cannot listen. */
  async listen(at: HostPort, security: ServerSecurity): Promise<string> {
    this.#security = security;
    this.#isRemovalConfirmed = this.#options.isRemovalConfirmed();
    const [first, ...others] = this.#slots;
    if (first === undefined) throw new RangeError("at least one worker");
    const address = await first.listen(at);
    const bound = { host: at.host, port: Number(address.slice(address.lastIndexOf(":") + 1)) };
    await Promise.all(others.map((slot) => slot.listen(bound)));
    return address;
  }

  removalConfirmed(): void {
    this.#tellRemoval();
  }

  headDeltaBytes(): number {
    return this.#transfers.headDeltaBytes();
  }

  broadcast(commit: Commit): CommitFlush {
    const running = this.#slots.filter(({ isRunning }) => isRunning);
    const flush = new GatheredFlush(running.map(({ worker }) => worker));
    if (!flush.isDone) this.#flushes.set(commit.revision, flush);
    const shared = sharedCommit(commit);
    const trace = this.#options.traceOf?.(commit.revision);
    this.#post({ kind: "commit", commit: shared, isHead: false, trace });
    this.#sharedBytes += shared.bytes.length;
    if (this.#sharedBytes > 2 * this.#options.catalog.sizes.bytes + sharedSlackBytes) {
      const places = sharedPlaces(this.#options.catalog.snapshot());
      this.#post({ kind: "moved", places });
      this.#sharedBytes = places.bytes.length;
    }
    return flush;
  }

  viewsChanged(nodes: "all" | ReadonlySet<string>): void {
    const byWorker = new Map<number, [string, Uint8Array][]>();
    for (const node of nodes === "all" ? this.#claims.nodes() : nodes) {
      const worker = this.#claims.workerOf(node);
      if (worker === undefined) continue;
      const views = byWorker.get(worker) ?? [];
      byWorker.set(worker, views);
      views.push([node, this.#viewOf(node)]);
    }
    for (const [worker, views] of byWorker) this.#slot(worker)?.post({ kind: "views", views });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#tickedMs = this.#options.now();
    const timer = setInterval(() => this.#tick(), this.#options.fanoutLimits.tickMs);
    try {
      await aborted(signal);
    } finally {
      clearInterval(timer);
    }
    await this.#stop(this.#options.fanoutLimits.drainMs + closeMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop(closeMs);
  }

  async #stop(maxMs: number): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.stop(maxMs)));
  }

  #makeSlot(worker: number): WorkerSlot {
    return new WorkerSlot({
      worker,
      log: this.#log,
      now: this.#options.now,
      spawn: this.#workers.spawn,
      start: (listen) => this.#startOf(worker, listen),
      started: () => this.#giveHead(worker),
      took: (batch) => this.#take(worker, batch),
      ended: () => this.#ended(worker),
    });
  }

  #startOf(worker: number, listen: HostPort): WorkerStart {
    const { catalog, historyKind, version, streamLimits, fanoutLimits, transferLimits, massRemoval } = this.#options;
    return {
      worker,
      listen,
      security: this.#security,
      logLevel: this.#workers.logLevel,
      version,
      epoch: catalog.epoch,
      historyKind,
      limits: {
        catalog: catalog.limits,
        stream: streamLimits,
        fanout: limitsOfWorker(fanoutLimits, this.#workers.workers),
        transfer: transferLimits,
        massRemoval,
        credit: this.#workers.credit,
      },
      listener: this.#workers.listener,
      isRemovalConfirmed: this.#isRemovalConfirmed,
      renames: this.#renames,
    };
  }

  // One that starts late has no history: agents that come to it with an older cursor are compared.
  #giveHead(worker: number): void {
    const { catalog, traceOf } = this.#options;
    const { head } = catalog;
    if (head === revisionZero) return;
    const commit = sharedCommit({ revision: head, puts: catalog.snapshot(), removals: [], triggers: noTriggers });
    this.#slot(worker)?.post({ kind: "commit", commit, isHead: true, trace: traceOf?.(head) });
    // All read the same memory again.
    for (const slot of this.#slots) if (slot.worker !== worker) slot.post({ kind: "moved", places: commit });
    this.#sharedBytes = commit.bytes.length;
  }

  #ended(worker: number): void {
    for (const [revision, flush] of this.#flushes) {
      flush.ended(worker);
      if (flush.isDone) this.#flushes.delete(revision);
    }
    this.calls.workerEnded(worker);
    this.#claims.workerEnded(worker);
  }

  #take(worker: number, { renames, events }: WorkerBatch): void {
    for (const event of events) this.#takeEvent(worker, event, renames === this.#renames);
  }

  // `isOfEpoch`: the worker knew the name of the history when it said so.
  #takeEvent(worker: number, event: FromWorker, isOfEpoch: boolean): void {
    switch (event.kind) {
      case "listening":
      case "not-listening":
      case "sizes":
        return;
      case "claim":
        this.#claims.ask(worker, event.claim);
        return;
      case "abandoned":
        this.#claims.abandoned(worker, event.node, event.claim);
        return;
      case "connected":
        if (!this.#connections.connected(worker, event, isOfEpoch))
          this.#slot(worker)?.post({ kind: "replace", node: event.connection.node, by: "another worker" });
        return;
      case "steady":
      case "acked":
        if (isOfEpoch) this.#connections.take(worker, event);
        return;
      case "held":
      case "disconnected":
        this.#connections.take(worker, event);
        return;
      case "flush": {
        const flush = this.#flushes.get(event.revision);
        flush?.told(worker, event.elapsedMs, event.isDone);
        if (flush?.isDone === true) this.#flushes.delete(event.revision);
        return;
      }
      case "late":
        for (const seconds of event.seconds) this.#workers.late?.(seconds);
        return;
      case "counted":
        addCounts(this.#options.metrics, event.counts);
        return;
      case "log":
        this.#log[event.level](event.message, event.fields);
        return;
      case "call":
      case "call-taken":
      case "call-closed":
        this.calls.take(worker, event, (message) => this.#slot(worker)?.post(message));
    }
  }

  #answer(worker: number, { claim, node }: Claim, answer: ClaimAnswer): void {
    if (answer.kind === "later") this.#options.metrics.hellosDeferred.inc();
    const view = answer.kind === "granted" ? { view: this.#viewOf(node) } : undefined;
    this.#slot(worker)?.post({ ...answer, ...view, claim } as ToWorker);
  }

  #rename(epoch: Epoch, node: string): void {
    const { catalog, log, metrics, fleet, renamed } = this.#options;
    metrics.renames.inc();
    log.warn("an agent holds a later epoch than ours, as after a clock that went back: this history is renamed", {
      node,
      before: printEpoch(catalog.epoch),
      after: printEpoch(epoch),
    });
    renamed(epoch);
    fleet.epochStarted(epoch);
    this.#renames++;
    this.#post({ kind: "renamed", epoch });
  }

  #tick(): void {
    const nowMs = this.#options.now();
    const isLate = nowMs - this.#tickedMs > this.#options.fanoutLimits.tickMs * 4;
    this.#tickedMs = nowMs;
    for (const slot of this.#slots) slot.tick(isLate);
    this.#claims.tick();
    this.#tellRemoval();
  }

  #tellRemoval(): void {
    const isConfirmed = this.#options.isRemovalConfirmed();
    if (isConfirmed === this.#isRemovalConfirmed) return;
    this.#isRemovalConfirmed = isConfirmed;
    this.#post({ kind: "removal", isConfirmed });
  }

  #viewOf(node: string): Uint8Array {
    return toBinary(NodeViewSchema, this.#options.nodeView(node));
  }

  #slot(worker: number): WorkerSlot | undefined {
    return this.#slots[worker - 1];
  }

  #post(message: ToWorker): void {
    for (const slot of this.#slots) slot.post(message);
  }

  #nowUs(): number {
    return Math.round(this.#options.now() * 1_000);
  }
}
