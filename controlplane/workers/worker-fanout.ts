/** What one worker serves: streams that claim their nodes, from a catalog of its own over the bytes that all workers share. */
import { unixMs } from "@weft/proto/program/clock.ts";
import type { Revision } from "@weft/proto/cursor.ts";
import type { Log } from "@weft/proto/program/log.ts";
import { Catalog } from "../catalog/catalog.ts";
import { Fanout } from "../fanout/fanout.ts";
import { HeapCompaction } from "../heap-compaction.ts";
import { ClaimingStreams, NodeGrants } from "./claiming-streams.ts";
import { outboxLog } from "./outbox-log.ts";
import { OutboxFleet } from "./outbox-fleet.ts";
import { Outbox } from "./outbox.ts";
import { moveResources, readSharedCommit } from "./shared-commit.ts";
import { WorkerCounts } from "./worker-counts.ts";
import type { ToWorker, WorkerBatch, WorkerStart } from "./worker-messages.ts";

/** How often sizes and counts are told: the main thread takes a worker that is silent for long for stuck. */
const tellMs = 250;
/** How often a flush that is not over is told: the next commit may wait for it. */
const flushTellMs = 25;

export class WorkerFanout {
  readonly streams: ClaimingStreams;
  readonly outbox: Outbox;
  readonly log: Log;
  readonly counts = new WorkerCounts();
  readonly #fleet: OutboxFleet;
  readonly #catalog: Catalog;
  readonly #grants = new NodeGrants();
  // Each thread has a heap of its own.
  readonly #compaction = new HeapCompaction({ snapshots: () => this.#fanout.sizes.snapshots });
  readonly #fanout: Fanout;
  #isRemovalConfirmed: boolean;
  #late: number[] = [];
  #trace: Extract<ToWorker, { kind: "commit" }>["trace"];

  /** `post`: to the main thread. */
  constructor(start: WorkerStart, post: (batch: WorkerBatch) => void) {
    const { limits, version } = start;
    this.outbox = new Outbox(post, start.renames);
    this.log = outboxLog(this.outbox, start.logLevel, { worker: start.worker });
    this.#fleet = new OutboxFleet(this.outbox);
    this.#catalog = new Catalog(start.epoch, limits.catalog);
    this.#isRemovalConfirmed = start.isRemovalConfirmed;
    this.#fanout = new Fanout({
      catalog: this.#catalog,
      historyKind: start.historyKind,
      fleet: this.#fleet,
      log: this.log,
      metrics: this.counts.metrics,
      version,
      streamLimits: limits.stream,
      fanoutLimits: limits.fanout,
      transferLimits: limits.transfer,
      now: unixMs,
      random: Math.random,
      nodeView: (node) => this.#grants.viewOf(node),
      renamed: () => {
        throw new Error("a worker renames no epoch: the main thread decides that");
      },
      massRemoval: limits.massRemoval,
      isRemovalConfirmed: () => this.#isRemovalConfirmed,
      sentElsewhere: (node) => this.#grants.sentBefore(node),
      traceOf: (revision) => (revision === this.#catalog.head ? this.#trace : undefined),
    });
    const { outbox } = this;
    const epoch = (): WorkerStart["epoch"] => this.#catalog.epoch;
    const claiming = {
      fanout: this.#fanout,
      fleet: this.#fleet,
      outbox,
      limits: limits.stream,
      version,
      epoch,
      now: unixMs,
    };
    this.streams = new ClaimingStreams(claiming, this.#grants);
  }

  take(message: ToWorker): void {
    switch (message.kind) {
      case "commit":
        this.#commit(message);
        return;
      case "moved":
        moveResources(message.places, (id) => this.#catalog.get(id));
        return;
      case "renamed":
        this.outbox.renamed();
        this.#catalog.rename(message.epoch);
        this.#fanout.epochRenamed();
        return;
      case "views":
        this.#fanout.viewsChanged(this.#grants.viewsChanged(message.views));
        return;
      case "granted":
      case "refused":
      case "later":
        this.streams.answered(message);
        return;
      case "replace":
        this.#fanout.replaced(message.node, message.by);
        return;
      case "removal":
        this.#isRemovalConfirmed = message.isConfirmed;
        if (message.isConfirmed) this.#fanout.removalConfirmed();
        return;
      // Of its thread.
      case "call-message":
      case "call-end":
      case "call-failed":
      case "drain":
    }
  }

  /** So late was the event loop of this worker. */
  late(seconds: number): void {
    this.#late.push(seconds);
  }

  /** Until `signal` aborts and every agent was asked to leave. */
  async run(signal: AbortSignal): Promise<void> {
    using _compaction = this.#compaction;
    await this.#fanout.run(signal);
  }

  /** Tells sizes and counts now and then, until what is returned is called, and then once more. */
  telling(): () => void {
    const timer = setInterval(() => this.#tell(), tellMs);
    return () => {
      clearInterval(timer);
      this.#tell();
      this.outbox.flush();
    };
  }

  #commit({ commit: shared, isHead, trace }: Extract<ToWorker, { kind: "commit" }>): void {
    const made = readSharedCommit(shared, (id) => this.#catalog.get(id));
    this.#trace = trace;
    if (isHead) this.#catalog.start(made);
    else this.#catalog.apply(made);
    this.#compaction.committed(made);
    const flush = this.#fanout.broadcast();
    const revision: Revision = made.revision;
    const tellFlush = (isDone: boolean): void =>
      this.outbox.put({ kind: "flush", revision, elapsedMs: flush.elapsedMs, isDone });
    // Ends with the flush, or with the next commit: nobody waits for this one then.
    const timer = setInterval(() => {
      tellFlush(false);
      if (this.#catalog.head !== revision) clearInterval(timer);
    }, flushTellMs);
    void flush.done.then(() => {
      clearInterval(timer);
      tellFlush(true);
    });
  }

  #tell(): void {
    this.#grants.keep(this.#fleet.served);
    this.outbox.put({ kind: "sizes", sizes: this.#fanout.sizes });
    const counted = this.counts.take();
    if (counted.length > 0) this.outbox.put({ kind: "counted", counts: counted });
    if (this.#late.length > 0) this.outbox.put({ kind: "late", seconds: this.#late });
    this.#late = [];
  }
}
