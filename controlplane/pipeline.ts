/**
 * The way of a change: source -> compile -> commit -> log -> fan-out and fleet. One commit at a time; what the source finds in
 * the meantime is folded into the next one. Nothing is committed before the source is synced, and then always: revision 1 may
 * be empty.
 */
import { unixMs } from "@weft/proto/program/clock.ts";
import { revisionZero } from "@weft/proto/cursor.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import type { Address } from "@weft/proto/address.ts";
import type { NodeView as NodeViewMessage } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";
import { Catalog } from "./catalog/catalog.ts";
import type { CatalogLimits } from "./catalog/catalog-limits.ts";
import { catalogLimits } from "./catalog/catalog-limits.ts";
import { flushCapMs } from "./commit-rule.ts";
import { Compiler } from "./compile/compiler.ts";
import type { Compiled, CompilerOptions } from "./compile/compiler.ts";
import { fanoutMetrics } from "./fanout/fanout-metrics.ts";
import type { FanoutMetrics } from "./fanout/fanout-metrics.ts";
import { fanoutLimits } from "./fanout/fanout-limits.ts";
import type { FanoutLimits } from "./fanout/fanout-limits.ts";
import { Fanout } from "./fanout/fanout.ts";
import type { FanoutOptions } from "./fanout/fanout-options.ts";
import type { CommitFlush, Streams } from "./fanout/streams.ts";
import { streamLimits } from "./fanout/stream-limits.ts";
import type { StreamLimits } from "./fanout/stream-limits.ts";
import { Transfer } from "./fanout/transfer.ts";
import { transferLimits } from "./fanout/transfers.ts";
import type { TransferLimits } from "./fanout/transfers.ts";
import type { FleetObserver } from "./fleet/fleet-observer.ts";
import { HeapCompaction } from "./heap-compaction.ts";
import { inTurns } from "./in-turns.ts";
import type { CommitLog } from "./log/commit-log.ts";
import { massRemovalLimits } from "./mass-removal/mass-removal.ts";
import type { HeldRemoval, MassRemovalLimits } from "./mass-removal/mass-removal.ts";
import { RemovalGuard } from "./mass-removal/removal-guard.ts";
import { NodeViewMessages } from "./node-view-message.ts";
import { pipelineMetrics } from "./pipeline-metrics.ts";
import type { PipelineMetrics } from "./pipeline-metrics.ts";
import type { ChangeBatch, Source, SourceSink } from "./source/source.ts";
import type { TraceChoice } from "./trace/trace-choice.ts";

export interface PipelineLimits {
  readonly catalog: CatalogLimits;
  readonly stream: StreamLimits;
  readonly fanout: FanoutLimits;
  readonly transfer: TransferLimits;
}

export const pipelineLimits: PipelineLimits = {
  catalog: catalogLimits,
  stream: streamLimits,
  fanout: fanoutLimits,
  transfer: transferLimits,
};

export interface PipelineOptions {
  readonly source: Source;
  readonly history: CommitLog;
  readonly fleet: FleetObserver;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Of this program. */
  readonly version: string;
  readonly compiler?: CompilerOptions;
  /** Default: `massRemovalLimits`. */
  readonly massRemoval?: MassRemovalLimits;
  /** Default: `pipelineLimits`. */
  readonly limits?: PipelineLimits;
  /** Which revisions are traced; default: none. */
  readonly traces?: TraceChoice | undefined;
  /** Unix milliseconds with fractions; never goes back. Default: the clock. */
  readonly now?: () => number;
  /** From 0 to 1, exclusive. Default: `Math.random`. */
  readonly random?: () => number;
}

/** The head in parts. Each is an encoded `SyncResponse` with nothing but a delta. */
export interface EncodedSnapshot {
  readonly to: Revision;
  readonly parts: Iterable<Uint8Array>;
}

/** What was held back when it was confirmed. */
export interface ConfirmedRemoval {
  /** Undefined: nothing of the source. */
  readonly removal: HeldRemoval | undefined;
  /** That were given no state. */
  readonly nodes: readonly string[];
}

export class Pipeline<S extends Streams = Fanout> implements SourceSink {
  readonly catalog: Catalog;
  readonly fanout: S;
  readonly #options: PipelineOptions;
  readonly #limits: PipelineLimits;
  readonly #compiler: Compiler;
  readonly #views = new NodeViewMessages();
  readonly #guard: RemovalGuard;
  readonly #compaction = new HeapCompaction({ snapshots: () => this.fanout.sizes.snapshots });
  readonly #metrics: PipelineMetrics;
  readonly #fanoutMetrics: FanoutMetrics;
  readonly #now: () => number;
  #isSynced = false;
  // The oldest change that is not committed; undefined: none.
  #pendingSinceMs: number | undefined;
  #wake: (() => void) | undefined;
  #collisionsSaid: ReadonlySet<string> = new Set();

  private constructor(options: PipelineOptions, catalog: Catalog, openStreams: (options: FanoutOptions) => S) {
    this.#options = options;
    this.#limits = options.limits ?? pipelineLimits;
    this.#now = options.now ?? unixMs;
    this.catalog = catalog;
    this.#compiler = new Compiler(options.compiler);
    const massRemoval = options.massRemoval ?? massRemovalLimits;
    const { fleet, log, metrics } = options;
    this.#guard = new RemovalGuard({
      records: this.#compiler,
      limits: massRemoval,
      fleet,
      log,
      metrics,
      now: this.#now,
      passed: () => this.#changed(this.#now()),
    });
    this.#fanoutMetrics = fanoutMetrics(options.metrics);
    this.fanout = openStreams({
      catalog,
      historyKind: options.history.kind,
      fleet: options.fleet,
      log: options.log,
      metrics: this.#fanoutMetrics,
      version: options.version,
      streamLimits: this.#limits.stream,
      fanoutLimits: this.#limits.fanout,
      transferLimits: this.#limits.transfer,
      now: this.#now,
      random: options.random ?? Math.random,
      nodeView: (node) => this.nodeView(node),
      renamed: (epoch) => catalog.rename(epoch),
      massRemoval,
      isRemovalConfirmed: () => this.#guard.isConfirmed,
      traceOf: options.traces && ((revision) => options.traces?.contextOf(revision)),
    });
    this.#metrics = pipelineMetrics(options.metrics, catalog, this.fanout);
  }

  /** Takes up the history where the log has it. */
  static open(options: PipelineOptions): Promise<Pipeline> {
    return Pipeline.openWith(options, (of) => new Fanout(of));
  }

  /** As `open`; the streams of agents are those that `openStreams` makes. */
  static async openWith<S extends Streams>(
    options: PipelineOptions,
    openStreams: (options: FanoutOptions) => S,
  ): Promise<Pipeline<S>> {
    const { epoch } = await options.history.replay();
    const catalog = new Catalog(epoch, (options.limits ?? pipelineLimits).catalog);
    options.fleet.epochStarted(epoch);
    return new Pipeline(options, catalog, openStreams);
  }

  /** The source is synced and its first commit is made: agents are answered with state. */
  get isReady(): boolean {
    return this.catalog.head !== revisionZero;
  }

  nodeView(node: string): NodeViewMessage {
    return this.#views.of(this.#compiler.nodeViewOf(node));
  }

  /** Undefined: the source has no such Node object. */
  nodeObjectAddresses(node: string): readonly Address[] | undefined {
    return this.#compiler.nodes().get(node)?.addresses;
  }

  snapshot(): EncodedSnapshot {
    const to = this.catalog.head;
    const transfer = Transfer.snapshot(to, this.catalog.snapshot(), true, this.#limits.transfer.partBytesMax);
    return { to, parts: transfer.encoded() };
  }

  /** Counts a connection that the listener refused. */
  connectionRefused(reason: string): void {
    this.#fanoutMetrics.connectionsRefused.with(reason).inc();
  }

  synced(): void {
    this.#isSynced = true;
    this.#guard.synced();
    this.#changed(this.#now());
  }

  changes(batch: ChangeBatch): void {
    this.#guard.take(batch);
    this.#changed(batch.noticedAtMs);
  }

  /** Confirms the mass removal that is held back now, of the source and for agents. `by`: for the log. */
  confirmRemoval(by: string): ConfirmedRemoval {
    const nodes = this.fanout.heldNodes;
    const removal = this.#guard.confirm(nodes.length, by);
    if (nodes.length > 0) this.fanout.removalConfirmed();
    if (removal !== undefined) this.#changed(this.#now());
    return { removal, nodes };
  }

  /** Runs the source, the commits and the streams until `signal` aborts; rejects when a restart is warranted. */
  async run(signal: AbortSignal): Promise<void> {
    using _guard = this.#guard;
    using _compaction = this.#compaction;
    const failed = new AbortController();
    const stop = AbortSignal.any([signal, failed.signal]);
    const guarded = async (part: Promise<void>): Promise<void> => {
      try {
        await part;
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    };
    const parts = [this.#options.source.run(this, stop), this.#commit(stop), this.fanout.run(stop)];
    const ends = await Promise.allSettled(parts.map(guarded));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  #changed(noticedAtMs: number): void {
    this.#pendingSinceMs ??= noticedAtMs;
    if (this.#isSynced) this.#wake?.();
  }

  async #commit(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    let lastFlushMs = 0;
    while (!signal.aborted) {
      if (!this.#isSynced || this.#pendingSinceMs === undefined) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const flush = await this.#commitPending();
      if (flush === undefined) continue;
      await settled(flush, flushCapMs(lastFlushMs), signal);
      lastFlushMs = flush.elapsedMs;
      this.#fanoutMetrics.flushSeconds.observe(lastFlushMs / 1_000);
    }
  }

  // Undefined: nothing that agents hold is different.
  async #commitPending(): Promise<CommitFlush | undefined> {
    const { fleet, history, source, log, traces } = this.#options;
    const startedMs = this.#now();
    const noticedMs = this.#pendingSinceMs ?? startedMs;
    this.#pendingSinceMs = undefined;
    const compiled = await inTurns(this.#compiler.takeInSteps());
    this.#sayCollisions(compiled);
    const isFirst = this.catalog.head === revisionZero;
    if (isFirst || compiled.areNodesChanged) {
      fleet.nodesKnown(source.hasNodes ? new Set(this.#compiler.nodes().keys()) : undefined);
    }
    const commit = this.catalog.draft(compiled);
    const compiledMs = this.#now();
    if (commit !== undefined) {
      const appended = await history.append(commit);
      if (appended.kind === "fenced")
        throw new Error(`revision ${commit.revision} was not appended: ${appended.reason}`);
      const nowMs = this.#now();
      this.catalog.apply(commit);
      // Before the first delta to it is made.
      const trace = traces?.choose({ epoch: this.catalog.epoch, revision: commit.revision }, this.fanout.sizes.agents);
      fleet.committed(commit, this.fanout.headDeltaBytes(), inUs(nowMs), {
        noticedAtUs: inUs(Math.min(noticedMs, startedMs)),
        compileStartedAtUs: inUs(startedMs),
        compiledAtUs: inUs(compiledMs),
        traceId: trace?.traceId,
      });
      this.#compaction.committed(commit);
      this.#metrics.commits.inc();
      this.#metrics.commitDelaySeconds.observe(Math.max(0, nowMs - noticedMs) / 1_000);
      log.debug("committed", { revision: commit.revision, puts: commit.puts.length, removals: commit.removals.length });
    }
    if (isFirst) fleet.synced();
    this.fanout.viewsChanged(compiled.nodeViewsChanged);
    if (commit === undefined) return undefined;
    const flush = this.fanout.broadcast(commit);
    const told = flush.done.then(() => fleet.flushed(commit.revision, inUs(this.#now())));
    // It never rejects; a stream that stalls may keep it for as long as it lives.
    void told;
    return flush;
  }

  // Each one once for as long as it stands.
  #sayCollisions(compiled: Compiled): void {
    const standing = new Set<string>();
    for (const refusal of compiled.collisions) {
      const text = `${refusal.object}: ${refusal.field}: ${refusal.message}`;
      standing.add(text);
      if (!this.#collisionsSaid.has(text)) this.#options.log.error(`refused: ${text}`);
    }
    this.#collisionsSaid = standing;
    this.#metrics.collisions.set(standing.size);
  }
}

function inUs(ms: number): number {
  return Math.round(ms * 1_000);
}

async function settled(flush: CommitFlush, capMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, capMs);
  const stop = (): void => resolve();
  signal.addEventListener("abort", stop, { once: true });
  await Promise.race([flush.done, promise]);
  clearTimeout(timer);
  signal.removeEventListener("abort", stop);
}
