/** A control plane over a source that the simulation steers: the real pipeline and the real fleet. */
import { Metrics } from "@weft/proto/program/metrics.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import { printCursor } from "@weft/proto/cursor.ts";
import type { Epoch, Revision } from "@weft/proto/cursor.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { Commit } from "@weft/controlplane/catalog/resource.ts";
import type { StreamInput, StreamPort } from "@weft/controlplane/fanout/stream-port.ts";
import { runFleet } from "@weft/controlplane/fleet/fleet-loop.ts";
import { nameOf } from "@weft/controlplane/fleet/fleet-observer.ts";
import type { FleetObserver } from "@weft/controlplane/fleet/fleet-observer.ts";
import { Fleet } from "@weft/controlplane/fleet/fleet.ts";
import { MemoryLog } from "@weft/controlplane/log/memory-log.ts";
import type { MassRemovalLimits } from "@weft/controlplane/mass-removal/mass-removal.ts";
import { Fanout } from "@weft/controlplane/fanout/fanout.ts";
import type { Streams } from "@weft/controlplane/fanout/streams.ts";
import { Pipeline } from "@weft/controlplane/pipeline.ts";
import type { PipelineLimits, PipelineOptions } from "@weft/controlplane/pipeline.ts";
import type { RecordChange, Source, SourceRecord, SourceSink } from "@weft/controlplane/source/source.ts";
import { NodeStreams } from "./node-streams.ts";
import type { RemovalAccount } from "./removal-account.ts";
import type { SimulatedWorkers } from "./simulated-workers.ts";
import { Violation } from "./violation.ts";

export interface ControlPlaneOptions {
  /** Unix milliseconds by its clock. */
  readonly startedMs: number;
  readonly random32: number;
  readonly limits: PipelineLimits;
  readonly massRemoval: MassRemovalLimits;
  /** What the source lists first. */
  readonly records: () => readonly SourceRecord[];
  /** The source answers after this. */
  readonly syncedAfterMs: number;
  /** Undefined: it serves agents itself. */
  readonly workers: SimulatedWorkers | undefined;
  /** What it may take away. */
  readonly account: RemovalAccount;
  /** `puts`: but for the first revision, which is everything. */
  readonly committed: (cursor: string, root: bigint, puts: readonly ResourceId[]) => void;
  /** A node is given no state, since that would be a mass removal. */
  readonly held: (by: SimulatedControlPlane) => void;
  readonly violated: (why: string) => void;
  /** What this node holds was spoilt once. */
  readonly isSpoilt: (node: string) => boolean;
}

/** Where connections come in. */
type Front = Pick<SimulatedWorkers, "accept" | "endOne">;

export class SimulatedControlPlane {
  readonly fleet: Fleet;
  readonly metrics: Metrics;
  readonly #pipeline: Pipeline<Streams>;
  readonly #front: Front;
  /** It has no workers. */
  readonly isAlone: boolean;
  readonly #streams: NodeStreams;
  readonly #account: RemovalAccount;
  readonly #stop = new AbortController();
  /** What the source told last, by kind and name. */
  readonly #listed = new Map<string, SourceRecord>();
  /** Nodes that are given no state. */
  readonly #held = new Set<string>();
  #sink: SourceSink | undefined;
  #isDead = false;

  private constructor(
    pipeline: Pipeline<Streams>,
    front: Front,
    fleet: Fleet,
    metrics: Metrics,
    account: RemovalAccount,
    streams: NodeStreams,
  ) {
    this.#pipeline = pipeline;
    this.#streams = streams;
    this.isAlone = pipeline.fanout instanceof Fanout;
    this.#front = front;
    this.fleet = fleet;
    this.metrics = metrics;
    this.#account = account;
  }

  static async start(options: ControlPlaneOptions): Promise<SimulatedControlPlane> {
    const { startedMs, random32, limits, massRemoval, records, syncedAfterMs, account, committed, held } = options;
    const [fleet, metrics] = [new Fleet(Date.now()), new Metrics()];
    // All names of the revisions so far: a history may be renamed.
    const roots = new Map<Revision, bigint>();
    const note = (epoch: Epoch): void => {
      account.named(epoch);
      for (const [revision, root] of roots) committed(printCursor({ epoch, revision }), root, []);
    };
    const observer = watched(fleet, {
      epochStarted: note,
      committed: (commit) => {
        const { revision, puts } = commit;
        const { root, epoch } = made.#pipeline.catalog;
        roots.set(revision, root);
        committed(printCursor({ epoch, revision }), root, revision === 1 ? [] : puts.map(({ id }) => id));
        account.committed(printCursor({ epoch, revision }), commit);
      },
      held: (node, isHeld) => {
        if (!isHeld) made.#held.delete(node);
        else if (!made.#held.has(node)) {
          made.#held.add(node);
          held(made);
        }
      },
    });
    const source: Source = {
      hasNodes: true,
      run: async (sink, signal) => {
        setTimeout(() => {
          if (signal.aborted) return;
          made.#sink = sink;
          made.relist(records());
          account.synced();
          sink.synced();
        }, syncedAfterMs);
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      },
    };
    const pipelineOptions: PipelineOptions = {
      source,
      history: new MemoryLog(startedMs, random32),
      fleet: observer,
      log: silentLog,
      metrics,
      version: "0",
      limits,
      massRemoval,
    };
    const { workers } = options;
    let front: Front;
    let pipeline: Pipeline<Streams>;
    if (workers === undefined) {
      const single = await Pipeline.open(pipelineOptions);
      pipeline = single;
      front = { accept: (port) => single.fanout.open(port), endOne: () => false };
    } else {
      pipeline = await Pipeline.openWith(pipelineOptions, (of) => workers.open(of));
      front = workers;
    }
    const made: SimulatedControlPlane = new SimulatedControlPlane(
      pipeline,
      front,
      fleet,
      metrics,
      account,
      new NodeStreams(options.violated, options.isSpoilt),
    );
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

  /** It neither was killed nor asked to stop. */
  get isStaying(): boolean {
    return !this.#stop.signal.aborted;
  }

  /** Nodes that are given no state, as the fleet knows. */
  get held(): ReadonlySet<string> {
    return this.#held;
  }

  /** There is something to confirm. */
  get isHolding(): boolean {
    return !this.#isDead && (this.#account.doubted > 0 || this.#held.size > 0);
  }

  /** Names of the services at the head. */
  get services(): ReadonlySet<string> {
    return this.#account.served;
  }

  isOf(epoch: Epoch): boolean {
    return this.#account.isOf(epoch);
  }

  get root(): bigint {
    return this.#pipeline.catalog.root;
  }

  get cursor(): { readonly epoch: Epoch; readonly revision: Revision } {
    return { epoch: this.#pipeline.catalog.epoch, revision: this.#pipeline.catalog.head };
  }

  accept(port: StreamPort): StreamInput | undefined {
    return this.#isDead ? undefined : this.#streams.accept(port, (of) => this.#front.accept(of));
  }

  /** One of several workers ends, by an error of its own. False: there is none. */
  endWorker(): boolean {
    return !this.#isDead && this.#front.endOne();
  }

  /** The source sees single objects change. */
  watched(changes: readonly RecordChange[]): void {
    // One that a list lacked is not told to be removed again.
    this.#tell(
      changes.filter((change) => change.op === "put" || this.#listed.has(`${change.kind} ${change.name}`)),
      false,
    );
  }

  /** The source lists everything anew, and tells what differs. */
  relist(records: readonly SourceRecord[]): void {
    const names = new Set(records.map(({ kind, name }) => `${kind} ${name}`));
    const gone = [...this.#listed].filter(([key]) => !names.has(key));
    const removals = gone.map(([, { kind, name }]): RecordChange => ({ op: "remove", kind, name }));
    const puts = records.map((record): RecordChange => ({ op: "put", record }));
    this.#tell([...removals, ...puts], true);
  }

  /** A person confirms what is held back. @returns The nodes that were given no state. @throws Violation */
  confirmRemoval(): ReadonlySet<string> {
    const wasDoubted = this.#account.doubted > 0;
    const { removal, nodes } = this.#pipeline.confirmRemoval("the simulation");
    const missed = [...this.#held].find((node) => !nodes.includes(node));
    if (missed !== undefined)
      throw new Violation(`8: a confirmation misses ${missed}, which the fleet knows to be held`);
    if (wasDoubted !== (removal !== undefined)) {
      throw new Violation(
        `8: a confirmation ${wasDoubted ? "misses what is held" : "finds what is not held"} at the source`,
      );
    }
    if (wasDoubted || nodes.length > 0) this.#account.confirmed();
    return new Set(nodes);
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

  #tell(changes: readonly RecordChange[], isRelist: boolean): void {
    if (this.#isDead || this.#sink === undefined) return;
    for (const change of changes) {
      if (change.op === "put") this.#listed.set(`${change.record.kind} ${change.record.name}`, change.record);
      else this.#listed.delete(`${change.kind} ${change.name}`);
    }
    this.#account.told(changes, isRelist);
    this.#sink.changes({ changes, isRelist, noticedAtMs: Date.now() });
  }
}

interface Tap {
  readonly epochStarted: (epoch: Epoch) => void;
  readonly committed: (commit: Commit) => void;
  readonly held: (node: string, isHeld: boolean) => void;
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
    held: (node, reason, isHeld) => {
      tap.held(nameOf(node), isHeld);
      fleet.held(node, reason);
    },
    removalHeld: (removal) => fleet.removalHeld(removal),
    disconnected: (node, instance, reason, nowUs) => {
      tap.held(nameOf(node), false);
      fleet.disconnected(node, instance, reason, nowUs);
    },
  };
}
