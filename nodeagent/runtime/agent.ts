/** One agent: state on disk, dataplane, rounds and the conversation with a control plane, put together. */
import { release } from "node:os";
import { setInterval as every } from "node:timers/promises";
import type { Address } from "@weft/proto/address.ts";
import { printCursor, revisionZero } from "@weft/proto/cursor.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import { compactHeap } from "@weft/proto/program/compact-heap.ts";
import type { Log } from "@weft/proto/program/log.ts";
import type { Metrics } from "@weft/proto/program/metrics.ts";
import { version } from "@weft/proto/program/version.ts";
import type { SpanSink } from "@weft/proto/telemetry/span.ts";
import type { Dataplane } from "../dataplane/dataplane.ts";
import { serviceOf } from "../plan/frontend.ts";
import type { Frontend } from "../plan/frontend.ts";
import {
  isSameAddressing,
  nodeAddressing,
  type AddressingFlags,
  type NodeAddressing,
} from "../plan/node-addressing.ts";
import { StateFile } from "../sync/state-file.ts";
import type { StateFileOptions } from "../sync/state-file.ts";
import { openStateFolder } from "../sync/state-folder.ts";
import { Store } from "../sync/store.ts";
import { initialState } from "../sync/sync-state.ts";
import type { SyncLimits, SyncState } from "../sync/sync-state.ts";
import { AuditMetrics } from "./audit-metrics.ts";
import { Auditor } from "./auditor.ts";
import { AgentMetrics, observeAgent } from "./agent-metrics.ts";
import type { OpenStream } from "./discovery-stream.ts";
import type { NodeFailure } from "./failures.ts";
import { localAddresses } from "./local-addresses.ts";
import { interfaceAddresses } from "./node-addresses.ts";
import { NodeHealth } from "./node-health.ts";
import { RoundTracer } from "./round-tracer.ts";
import { Rounds } from "./rounds.ts";
import { SyncLoop } from "./sync-loop.ts";

const addressPollMs = 10_000;

export interface AgentOptions {
  readonly node: string;
  readonly stateFolder: string;
  readonly dataplane: Dataplane;
  readonly dataplaneKind: "kernel" | "memory";
  readonly openStream: OpenStream;
  /** Loads what `openStream` needs. Called once, when what was on disk is live: gRPC is a tenth of a start. Default: nothing. */
  readonly loadStreams?: () => Promise<void>;
  /** Undefined: those of the interfaces, looked at again every 10 s. */
  readonly addresses: readonly Address[] | undefined;
  /** Default: as without these flags. */
  readonly addressingFlags?: AddressingFlags;
  /** What devices have, looked at again every 10 s. Default: the devices of this network namespace. */
  readonly readLocalAddresses?: () => ReadonlySet<Address>;
  /** How often addresses are looked at. Default: 10 s. */
  readonly addressPollMs?: number;
  readonly limits: SyncLimits;
  /** Within this everything in the dataplane and in the store is audited; 0, the default: never. */
  readonly auditIntervalMs?: number;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Where spans of traced revisions go. Default: nothing is traced. */
  readonly spans?: SpanSink | undefined;
  /** Holds nothing yet. Default: one of its own. */
  readonly store?: Store;
  /** How the state file writes. Default: to the disk. */
  readonly writeState?: StateFileOptions["write"];
}

export class Agent {
  readonly #options: AgentOptions;
  readonly #file: StateFile;
  readonly #store: Store;
  readonly #rounds: Rounds;
  readonly #loop: SyncLoop;
  readonly #auditor: Auditor;
  readonly #load: () => Promise<void>;
  /** What this node tells others of its health. */
  readonly health: NodeHealth;
  #isReady = false;

  private constructor(
    options: AgentOptions,
    parts: {
      file: StateFile;
      store: Store;
      rounds: Rounds;
      loop: SyncLoop;
      health: NodeHealth;
      load: () => Promise<void>;
    },
  ) {
    this.#options = options;
    this.#file = parts.file;
    this.#store = parts.store;
    this.#rounds = parts.rounds;
    this.#loop = parts.loop;
    this.#load = parts.load;
    this.#auditor = new Auditor({
      dataplane: options.dataplane,
      store: parts.store,
      intervalMs: options.auditIntervalMs ?? 0,
      log: options.log,
      metrics: new AuditMetrics(options.metrics),
      onDigestCorrected: () => parts.rounds.digestCorrected(),
      rounds: parts.rounds,
      agreements: () => parts.loop.agreements,
    });
    this.health = parts.health;
  }

  /** Opens the state folder and the dataplane. Nothing is changed in the dataplane before `run`. */
  static async open(options: AgentOptions): Promise<Agent> {
    const { node, stateFolder, dataplane, log, writeState } = options;
    const instance = openStateFolder(stateFolder, node, log);
    const opening = dataplane.open();
    // Its failure is told below; meanwhile what is on disk is read.
    opening.catch(() => undefined);
    const { file, saved } = StateFile.open({
      folder: stateFolder,
      log,
      ...(writeState === undefined ? {} : { write: writeState }),
    });
    const store = options.store ?? new Store(saved);
    if (options.store !== undefined && saved !== undefined) {
      store.commit([{ removed: [], puts: new Map(saved.resources) }], "nothing");
    }
    const live = (await opening).cursor;
    const initial = initialState(saved?.cursor, live, performance.now());
    sayAdopted(log, saved?.cursor, live, initial);
    const metrics = new AgentMetrics(options.metrics);
    const addressing = readAddressing(options);
    let loading: Promise<void> | undefined;
    const load = (): Promise<void> => (loading ??= options.loadStreams?.() ?? Promise.resolve());
    const tracer = options.spans && new RoundTracer(node, options.spans, () => Date.now() - performance.now());
    const rounds = new Rounds({
      node,
      store,
      dataplane,
      file,
      log,
      metrics,
      addressing,
      view: saved?.view,
      onRound: (report) => health.roundDone(report),
      onTraced: tracer && ((round) => tracer.activated(round)),
      onChange: () => loop.changed(),
      compact: async () => {
        // Code that is compiled after a collection by flags is not kept for the next start.
        await load();
        compactHeap();
      },
    });
    const health = new NodeHealth({
      node,
      store,
      readings: { waiting: () => rounds.waiting, queuedAtMs: () => rounds.queuedAtMs },
      log,
      metrics: options.metrics,
      onChange: () => loop.changed(),
    });
    const versions = { agent: version, kernel: release(), dataplane: options.dataplaneKind };
    const loop: SyncLoop = new SyncLoop({
      node,
      instance,
      versions,
      openStream: options.openStream,
      store,
      rounds,
      metrics,
      log,
      limits: options.limits,
      initial,
      addressing,
      liveServices:
        initial.standing.floor && new Set(dataplane.dump().map(({ servicePort }) => serviceOf(servicePort))),
      healthFailures: () => health.failures,
      tracer,
    });
    if (saved?.cursor !== undefined && initial.standing.floor === undefined) {
      rounds.committed(undefined, saved.cursor, undefined);
    }
    if (initial.standing.floor === undefined) rounds.open();
    else health.adopted();
    const agent = new Agent(options, { file, store, rounds, loop, health, load });
    observeAgent(options.metrics, {
      syncState: () => loop.state.kind,
      activeRevision: () => rounds.active?.cursor.revision ?? revisionZero,
      counts: () => store.counts,
      failures: () => loop.failures,
      limits: () => dataplane.limits(),
      isStateStale: () => file.isStale,
      stateBytes: () => file.bytes,
    });
    return agent;
  }

  /** What was on disk is live, or cannot be. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Why nothing can be activated; undefined: it can. */
  get activationFailure(): string | undefined {
    return this.#rounds.activationFailure;
  }

  /** The cursor that is live because of this process. */
  get active(): Cursor | undefined {
    return this.#rounds.active?.cursor;
  }

  get failures(): readonly NodeFailure[] {
    return this.#loop.failures;
  }

  /** Root digest of what is held. */
  get digest(): bigint {
    return this.#store.digest;
  }

  dump(): readonly Frontend[] {
    return this.#options.dataplane.dump();
  }

  /**
   * Serves and follows until `signal` aborts; `ready` is called once what was on disk is live, with or without a control plane. What is
   * live stays live afterwards.
   */
  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const guard = async (part: Promise<void>): Promise<void> => {
      try {
        await part;
      } catch (error) {
        failed.abort();
        throw error;
      }
    };
    try {
      await Promise.all([
        guard(this.#rounds.run(either)),
        guard(this.#follow(either, ready)),
        // It says first where health check node ports listen.
        guard(this.#watchAddresses(either)),
        guard(this.health.run(either)),
        guard(this.#auditor.run(either)),
      ]);
    } finally {
      this.#file[Symbol.dispose]();
    }
  }

  async #follow(signal: AbortSignal, ready: () => void): Promise<void> {
    await this.#rounds.settled();
    this.#isReady = true;
    if (signal.aborted) return;
    ready();
    await this.#load();
    await this.#loop.run(signal);
  }

  // Where kube-proxy listens too: on all addresses unless NodePorts are narrowed.
  #listenForHealth({ nodePortAddresses }: NodeAddressing): void {
    const isNarrowed = (this.#options.addressingFlags?.nodeportAddresses ?? []).length > 0;
    this.health.listenOn(isNarrowed ? nodePortAddresses : "all");
  }

  async #watchAddresses(signal: AbortSignal): Promise<void> {
    let before = readAddressing(this.#options);
    this.#listenForHealth(before);
    try {
      for await (const _ of every(this.#options.addressPollMs ?? addressPollMs, undefined, { signal, ref: false })) {
        const now = readAddressing(this.#options);
        if (isSameAddressing(now, before)) continue;
        before = now;
        this.#options.log.info("addresses of the node changed", {
          addresses: now.addresses.join(),
          local: now.localAddresses.size,
        });
        this.#listenForHealth(now);
        this.#rounds.addressingChanged(now);
        this.#loop.addressingChanged(now);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

const noFlags: AddressingFlags = { nodeportAddresses: [], localClusterIps: undefined };

function readAddressing(options: AgentOptions): NodeAddressing {
  const { addresses, addressingFlags = noFlags, readLocalAddresses = localAddresses } = options;
  return nodeAddressing(addresses ?? interfaceAddresses(), readLocalAddresses(), addressingFlags);
}

function sayAdopted(log: Log, saved: Cursor | undefined, live: Cursor | undefined, initial: SyncState): void {
  const onDisk = saved === undefined ? "none" : printCursor(saved);
  if (live === undefined) {
    log.info("nothing is live yet", { onDisk });
  } else if (initial.standing.floor === undefined) {
    log.info("took over what is live", { live: printCursor(live), onDisk });
  } else {
    log.warn(
      "what is live is ahead of the state on disk: it stays until the control plane has brought this agent there",
      {
        live: printCursor(live),
        onDisk,
      },
    );
  }
}
