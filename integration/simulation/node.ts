/** A node: its kernel, its disk, and an agent on it that may be killed at any moment and started again. */
import { Metrics } from "@weft/proto/program/metrics.ts";
import { silentLog } from "@weft/proto/program/log.ts";
import type { Log } from "@weft/proto/program/log.ts";
import { parseAddress } from "@weft/proto/address.ts";
import type { Address } from "@weft/proto/address.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import type { SyncRequest, SyncResponse } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import type { ResourceId } from "@weft/proto/ids.ts";
import type { Round } from "@weft/nodeagent/dataplane/dataplane.ts";
import { nodeAddressing } from "@weft/nodeagent/plan/node-addressing.ts";
import { AgentMetrics } from "@weft/nodeagent/runtime/agent-metrics.ts";
import { AuditMetrics } from "@weft/nodeagent/runtime/audit-metrics.ts";
import { Auditor } from "@weft/nodeagent/runtime/auditor.ts";
import type { DiscoveryStream, StreamEvents } from "@weft/nodeagent/runtime/discovery-stream.ts";
import { Rounds } from "@weft/nodeagent/runtime/rounds.ts";
import { SyncLoop } from "@weft/nodeagent/runtime/sync-loop.ts";
import type { HeldResource } from "@weft/nodeagent/sync/received-resource.ts";
import { Store } from "@weft/nodeagent/sync/store.ts";
import { initialState } from "@weft/nodeagent/sync/sync-state.ts";
import type { SyncLimits } from "@weft/nodeagent/sync/sync-state.ts";
import { Disk } from "./disk.ts";
import { Kernel, SimulatedDataplane } from "./kernel.ts";
import { Link } from "./link.ts";
import type { LinkOptions } from "./link.ts";
import type { Random } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Who looks on. */
export interface NodeWitness {
  activating(node: SimulatedNode, round: Round, digest: bigint, isEverything: boolean): void;
  sent(node: SimulatedNode, message: SyncRequest): void;
  /** Before the agent has it. */
  receiving(node: SimulatedNode, message: SyncResponse, bytes: number): void;
}

export interface SimulatedNodeOptions {
  readonly name: string;
  readonly instance: bigint;
  readonly time: VirtualTime;
  readonly random: Random;
  readonly limits: SyncLimits;
  readonly accept: LinkOptions["accept"];
  readonly witness: NodeWitness;
  /** The agent says that the control plane breaks the rules. */
  readonly faultFound: (fault: string) => void;
}

interface Running {
  readonly store: Store;
  readonly rounds: Rounds;
  readonly loop: SyncLoop;
  readonly stop: AbortController;
  isDead: boolean;
}

const address = parseAddress("192.0.2.1") as Address;
/** Short, so that a run sees what it finds. */
const auditIntervalMs = 60_000;
const deadStream: DiscoveryStream = { isWritable: false, send: () => undefined, close: () => undefined };

export class SimulatedNode {
  readonly kernel = new Kernel();
  readonly disk: Disk;
  /** The store was changed behind its back, and what it holds is not what its cursor says. */
  isCorrupt = false;
  /** That happened to it since it was installed: what it lost it may serve, and have on its disk, until it is audited. */
  wasSpoilt = false;
  /** Services of which that made the node lose or regain something. */
  readonly spoilt = new Set<string>();
  /** And has activated nothing that came over the network since. */
  hasLostPower = false;
  /** Of the agent that runs; undefined: none does. */
  #running: Running | undefined;
  #link: Link | undefined;
  #instance: bigint;
  readonly #options: SimulatedNodeOptions;
  // What it held and lost, for stale content to come back.
  readonly #former = new Map<ResourceId, HeldResource>();

  constructor(options: SimulatedNodeOptions) {
    this.#options = options;
    this.#instance = options.instance;
    this.disk = new Disk(() => options.time.nowMs);
  }

  get name(): string {
    return this.#options.name;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  get link(): Link | undefined {
    return this.#link?.isOpen === true ? this.#link : undefined;
  }

  /** What the agent holds; undefined: it does not run. */
  get store(): Store | undefined {
    return this.#running?.store;
  }

  /** Of what the agent holds. */
  get cursor(): Cursor | undefined {
    return this.#running?.loop.state.standing.cursor;
  }

  /** How the conversation stands, for people. */
  get standing(): string {
    return this.#running === undefined ? "not running" : this.#running.loop.state.kind;
  }

  start(): void {
    if (this.#running !== undefined) return;
    const { name, time, random, limits, witness } = this.#options;
    const { disk, kernel } = this;
    const { saved } = disk;
    disk.reopened();
    const store = new Store(saved);
    this.isCorrupt = this.wasSpoilt;
    const initial = initialState(saved?.cursor, kernel.cursor, time.nowMs);
    const isDead = (): boolean => running.isDead;
    const dataplane = new SimulatedDataplane({
      time,
      random,
      kernel,
      isDead,
      digest: () => store.digest,
      activating: (round, digest, isEverything) => {
        witness.activating(this, round, digest, isEverything);
        // The first one is what was on disk.
        if (this.hasLostPower && kernel.cursor !== undefined) this.hasLostPower = false;
      },
    });
    const allMetrics = new Metrics();
    const metrics = new AgentMetrics(allMetrics);
    const addressing = nodeAddressing([address], new Set(), { nodeportAddresses: [], localClusterIps: undefined });
    const file = {
      get wantsSnapshot() {
        return !isDead() && disk.wantsSnapshot;
      },
      append: (write: Parameters<Disk["append"]>[0]) => {
        if (!isDead()) disk.append(write);
      },
      rewrite: (whole: Parameters<Disk["rewrite"]>[0]) => (isDead() ? Promise.resolve() : disk.rewrite(whole)),
    };
    const rounds = new Rounds({
      node: name,
      store,
      dataplane,
      file,
      log: silentLog,
      metrics,
      addressing,
      view: saved?.view,
      onRound: () => undefined,
      onTraced: undefined,
      onChange: () => loop.changed(),
      compact: () => Promise.resolve(),
    });
    const loop: SyncLoop = new SyncLoop({
      node: name,
      instance: this.#instance,
      versions: { agent: "0", kernel: "0", dataplane: "memory" },
      openStream: (events) => (isDead() ? deadStream : this.#dial(events, isDead)),
      store,
      rounds,
      metrics,
      log: faultLog((fault) => this.#found(fault)),
      limits,
      initial,
      addressing,
      liveServices: initial.standing.floor && new Set(kernel.held.keys()),
      healthFailures: () => [],
      tracer: undefined,
    });
    const auditor = new Auditor({
      dataplane,
      store,
      rounds,
      intervalMs: auditIntervalMs,
      log: silentLog,
      metrics: new AuditMetrics(allMetrics),
      agreements: () => loop.agreements,
      onDigestCorrected: () => rounds.digestCorrected(),
    });
    const running: Running = { store, rounds, loop, stop: new AbortController(), isDead: false };
    this.#running = running;
    if (initial.standing.floor === undefined) {
      if (saved?.cursor !== undefined) rounds.committed(undefined, saved.cursor, undefined);
      rounds.open();
    }
    void rounds.run(running.stop.signal);
    void auditor.run(running.stop.signal);
    void follow(running);
  }

  /** SIGKILL: the kernel stays as it is, and what was written stays written. */
  kill(): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    running.isDead = true;
    this.#link?.break();
    running.stop.abort();
  }

  /** The node loses power. */
  powerFail(): void {
    this.kill();
    this.hasLostPower = true;
    this.kernel.rebooted();
    this.disk.powerFailed(this.#options.random);
  }

  /** Another machine under the same name. */
  replace(instance: bigint): void {
    this.powerFail();
    this.disk.lost();
    this.wasSpoilt = false;
    this.spoilt.clear();
    this.#instance = instance;
  }

  /** Something in the store goes wrong. */
  corrupt(random: Random): void {
    const store = this.#running?.store;
    if (store === undefined) return;
    const held = [...store.resources()];
    const former = [...this.#former].filter(([id]) => !store.resources().has(id));
    if (former.length > 0 && random.isTrue(0.4)) {
      const [id, resource] = random.oneOf(former);
      store.commit([{ removed: [], puts: new Map([[id, resource]]) }], "nothing");
      this.#spoil(resource);
    } else if (held.length > 0) {
      const [id, resource] = random.oneOf(held);
      this.#former.set(id, resource);
      store.commit([{ removed: [id], puts: new Map() }], "nothing");
      this.#spoil(resource);
    }
  }

  // A repair fits what the node has told last. What was spoilt since may be a backend, elsewhere, of a service that it removes: it is
  // refused as it must be, and the node told again what it holds.
  #found(fault: string): void {
    if (this.isCorrupt && fault.startsWith("a repair touches resource ")) return;
    this.#options.faultFound(fault);
  }

  #spoil(resource: HeldResource): void {
    this.isCorrupt = true;
    this.wasSpoilt = true;
    if (resource.kind === "service") this.spoilt.add(resource.name);
  }

  #dial(events: StreamEvents, isDead: () => boolean): Link {
    const { time, random, name, accept, witness } = this.#options;
    const alive =
      <T extends unknown[]>(run: (...given: T) => void) =>
      (...given: T): void => {
        if (!isDead()) run(...given);
      };
    const link = new Link({
      time,
      random,
      peer: `${name}:1`,
      events: {
        connected: alive(() => events.connected()),
        message: alive((message) => events.message(message)),
        drained: alive(() => events.drained()),
        ended: alive((end) => events.ended(end)),
      },
      accept,
      saw: {
        request: alive((message) => witness.sent(this, message)),
        response: alive((message, bytes) => witness.receiving(this, message, bytes)),
      },
    });
    this.#link = link;
    return link;
  }
}

const faultCauses: ReadonlySet<unknown> = new Set(["protocol-error", "protocol-version", "malformed"]);

// Of each kind the first one is said.
function faultLog(found: (fault: string) => void): Log {
  const warn: Log["warn"] = (message, fields) => {
    if (faultCauses.has(fields?.["cause"])) found(message);
  };
  return { ...silentLog, warn };
}

// As the agent does: what was on disk goes live first.
async function follow({ rounds, loop, stop }: Running): Promise<void> {
  await rounds.settled();
  if (!stop.signal.aborted) await loop.run(stop.signal);
}
