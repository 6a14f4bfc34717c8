/** A control plane over a source that the simulation steers: the real pipeline and the real fleet. */
import { Metrics } from "@weft/proto/program/metrics.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import { printCursor } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { Commit } from "@weft/controlplane/catalog/resource.ts";
import type { StreamInput, StreamPort } from "@weft/controlplane/fanout/stream-port.ts";
import { runFleet } from "@weft/controlplane/fleet/fleet-loop.ts";
import type { FleetObserver } from "@weft/controlplane/fleet/fleet-observer.ts";
import { Fleet } from "@weft/controlplane/fleet/fleet.ts";
import { MemoryLog } from "@weft/controlplane/log/memory-log.ts";
import type { MassRemovalLimits } from "@weft/controlplane/mass-removal/mass-removal.ts";
import { Pipeline, pipelineLimits } from "@weft/controlplane/pipeline.ts";
import type { PipelineLimits } from "@weft/controlplane/pipeline.ts";
import type { RecordChange, Source, SourceSink } from "@weft/controlplane/source/source.ts";

/** Tiny bounds, so that every one of them is met. */
const limits: PipelineLimits = {
  catalog: { ...pipelineLimits.catalog, historyRevisionsMax: 6, historyBytesMax: 20_000 },
  stream: { ...pipelineLimits.stream },
  fanout: { ...pipelineLimits.fanout, streamsPerTurn: 2, snapshotsMax: 1, tickMs: 1_000 },
  transfer: {
    partBytesMax: 400,
    deltaPartBytesMax: 300,
    cutEntriesPerTurn: 16,
    deltasBytesMax: 2_000,
    snapshotAgeMaxMs: 50,
  },
};

export interface ControlPlaneOptions {
  /** Unix milliseconds by its clock. */
  readonly startedMs: number;
  readonly random32: number;
  readonly massRemoval: MassRemovalLimits;
  /** Everything that is there, at the start. */
  readonly records: readonly RecordChange[];
  /** The source answers after this. */
  readonly syncedAfterMs: number;
  /** `puts`: but for the first revision, which is everything. */
  readonly committed: (cursor: string, root: bigint, puts: readonly ResourceId[]) => void;
  /** A node is given no state, since that would be a mass removal. */
  readonly held: () => void;
}

export class SimulatedControlPlane {
  readonly fleet: Fleet;
  readonly metrics: Metrics;
  readonly #pipeline: Pipeline;
  readonly #stop = new AbortController();
  #sink: SourceSink | undefined;
  #isDead = false;

  private constructor(pipeline: Pipeline, fleet: Fleet, metrics: Metrics) {
    this.#pipeline = pipeline;
    this.fleet = fleet;
    this.metrics = metrics;
  }

  static async start(options: ControlPlaneOptions): Promise<SimulatedControlPlane> {
    const { startedMs, random32, massRemoval, records, syncedAfterMs, committed, held } = options;
    const [fleet, metrics] = [new Fleet(Date.now()), new Metrics()];
    // All names of the revisions so far: a history may be renamed.
    const roots = new Map<Revision, bigint>();
    const note = (epoch: Epoch): void => {
      for (const [revision, root] of roots) committed(printCursor({ epoch, revision }), root, []);
    };
    const observer = watched(fleet, {
      epochStarted: note,
      committed: ({ revision, puts }) => {
        const { root, epoch } = made.#pipeline.catalog;
        roots.set(revision, root);
        committed(printCursor({ epoch, revision }), root, revision === 1 ? [] : puts.map(({ id }) => id));
      },
      held,
    });
    const source: Source = {
      hasNodes: true,
      run: async (sink, signal) => {
        setTimeout(() => {
          if (signal.aborted) return;
          sink.changes({ changes: records, isRelist: true, noticedAtMs: Date.now() });
          sink.synced();
          made.#sink = sink;
        }, syncedAfterMs);
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      },
    };
    const pipeline = await Pipeline.open({
      source,
      history: new MemoryLog(startedMs, random32),
      fleet: observer,
      log: silentLog,
      metrics,
      version: "0",
      limits,
      massRemoval,
    });
    const made: SimulatedControlPlane = new SimulatedControlPlane(pipeline, fleet, metrics);
    void pipeline.run(made.#stop.signal);
    void runFleet(fleet, made.#stop.signal);
    return made;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** The source has answered. */
  get isFollowing(): boolean {
    return this.#sink !== undefined && !this.#isDead;
  }

  get root(): bigint {
    return this.#pipeline.catalog.root;
  }

  get cursor(): { readonly epoch: Epoch; readonly revision: Revision } {
    return { epoch: this.#pipeline.catalog.epoch, revision: this.#pipeline.catalog.head };
  }

  accept(port: StreamPort): StreamInput | undefined {
    return this.#isDead ? undefined : this.#pipeline.fanout.open(port);
  }

  give(changes: readonly RecordChange[], isRelist: boolean): void {
    if (this.#isDead) return;
    this.#sink?.changes({ changes, isRelist, noticedAtMs: Date.now() });
  }

  confirmRemoval(): void {
    this.#pipeline.confirmRemoval("the simulation");
  }

  /** SIGKILL. */
  kill(): void {
    this.#isDead = true;
    this.#stop.abort();
  }

  /** SIGTERM: agents are asked to leave. */
  stop(): void {
    this.#stop.abort();
  }
}

interface Tap {
  readonly epochStarted: (epoch: Epoch) => void;
  readonly committed: (commit: Commit) => void;
  readonly held: () => void;
}

// The fleet, and someone who listens: first, so that nobody acts on a commit that is not noted.
function watched(fleet: Fleet, tap: Tap): FleetObserver {
  return {
    epochStarted: (epoch) => {
      tap.epochStarted(epoch);
      fleet.epochStarted(epoch);
    },
    committed: (commit, bytes, nowUs, steps) => {
      tap.committed(commit);
      fleet.committed(commit, bytes, nowUs, steps);
    },
    nodesKnown: (names) => fleet.nodesKnown(names),
    synced: () => fleet.synced(),
    flushed: (revision, nowUs) => fleet.flushed(revision, nowUs),
    connected: (connection, nowUs) => fleet.connected(connection, nowUs),
    sent: (node, revision) => fleet.sent(node, revision),
    acked: (node, ack, roundTripUs, nowUs) => fleet.acked(node, ack, roundTripUs, nowUs),
    held: (node, reason) => {
      if (reason !== undefined) tap.held();
      fleet.held(node, reason);
    },
    removalHeld: (removal) => fleet.removalHeld(removal),
    disconnected: (node, instance, reason, nowUs) => fleet.disconnected(node, instance, reason, nowUs),
  };
}
