/**
 * The dataplane in the kernel: eBPF maps, and programs on a cgroup that read them. Serves what sockets can reach: the internal
 * scope of all frontends, TCP and UDP. What to write is decided in RevisionWriter and RoundApplier.
 */
import { randomInt } from "node:crypto";
import fs from "node:fs";
import { silentLog, type Log } from "@weft/proto/program/log.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import type { Frontend } from "../../plan/frontend.ts";
import type { Adopted, AuditStep, Dataplane, Limit, Round, RoundResult, ServicePlan } from "../dataplane.ts";
import type { PlanDifference } from "../plan-difference.ts";
import { adoptMaps } from "./adopt.ts";
import { attachPrograms, hasLinks, setEgress } from "./attach.ts";
import { findCgroup } from "./cgroup.ts";
import { removeFolder, removeProbes } from "./cleanup-pinned.ts";
import { readPinned, type PinnedState } from "./dump-pinned.ts";
import { highestSequence, roundOfPinned } from "./earlier-maps.ts";
import type { KernelMaps } from "./kernel-maps.ts";
import { refusedBindLayout, refusedBindsMax, settingsLayout, udpPeerLayout, udpPeersMax } from "./layout.ts";
import { LeftPeers } from "./left-peers.ts";
import { errnoName, mapMemory, netnsCookie, type LoadedObject } from "./libbpf.ts";
import { loadPrograms } from "./load-programs.ts";
import { MapAudit } from "./map-audit.ts";
import { MapReader } from "./map-reader.ts";
import { defaultKernelLimits, mapSizes, type KernelLimits } from "./map-sizes.ts";
import {
  isOurs,
  limitsOfFolder,
  linksFolder,
  lockPinFolder,
  preparePinFolder,
  servicesFolderName,
  flowsFolderName,
} from "./pin-folder.ts";
import { openMaps } from "./pinned-maps.ts";
import { probePrograms } from "./probe.ts";
import { RefusedBinds } from "./refused-binds.ts";
import { RestoredPins, type PinnedAt } from "./restored-pins.ts";
import { RevisionWriter } from "./revision-writer.ts";
import { RoundApplier } from "./round-applier.ts";

export interface KernelDataplaneOptions {
  /** Folder on a bpf file system that holds the pins; one agent each. */
  readonly bpffs: string;
  /** Cgroup v2 folder whose sockets are served; undefined: the root. */
  readonly cgroup?: string | undefined;
  readonly limits?: KernelLimits;
  readonly log?: Log;
}

interface Opened {
  readonly lock: Disposable;
  readonly cgroup: string;
  readonly object: LoadedObject;
  readonly maps: KernelMaps;
  readonly writer: RevisionWriter;
  readonly applier: RoundApplier;
  readonly mapAudit: MapAudit;
  readonly probePort: number;
  readonly leftPeers: LeftPeers;
  readonly pins: RestoredPins;
  readonly timer: NodeJS.Timeout;
}

/** Between looks at what the programs left, and at whether packets must still be checked. */
const tickMs = 500;

export class KernelDataplane implements Dataplane {
  readonly #bpffs: string;
  readonly #cgroupOption: string | undefined;
  readonly #limits: KernelLimits;
  readonly #log: Log;
  #opened: Opened | undefined;
  /** Pinned links serve from maps of another layout until these have something to serve. */
  #isAttachDue = false;
  #isAttached = false;
  // Of the check of packets: said once, not with each look.
  #egressProblem: string | undefined;

  constructor({ bpffs, cgroup, limits = defaultKernelLimits, log = silentLog }: KernelDataplaneOptions) {
    this.#bpffs = bpffs;
    this.#cgroupOption = cgroup;
    this.#limits = limits;
    this.#log = log;
  }

  /** @throws ProgramError with a remedy: in use, no bpf file system, no cgroup v2, no permission, kernel too old, probe failed. */
  async open(): Promise<Adopted> {
    const sizes = mapSizes(this.#limits);
    const cgroup = findCgroup(this.#cgroupOption);
    preparePinFolder(this.#bpffs);
    using stack = new DisposableStack();
    const lock = stack.use(lockPinFolder(this.#bpffs));
    for (const name of fs.readdirSync(this.#bpffs)) {
      if (isOurs(name) && name.startsWith("removed-")) removeFolder(this.#bpffs, name);
    }
    const before = hasOtherSizes(this.#bpffs, this.#limits) ? readPinned(this.#bpffs) : undefined;
    const object = stack.use(await loadPrograms(this.#bpffs, this.#limits, sizes, this.#log));
    const maps = openMaps(object, sizes);
    const { probePort, settings } = writeSettings(object);
    const found = adoptMaps(maps);
    const writer = new RevisionWriter(maps, undefined, undefined, highestSequence(this.#bpffs));
    writer.adopt(found);
    maps.trim();
    await maps.grace();
    writer.removeOrphans();
    const applier = new RoundApplier(maps, writer, this.#limits, errnoName);
    stack.move();
    const refusedBinds = new RefusedBinds({
      ring: mapMemory(object.mapFd("refused_binds"), refusedBindsMax * refusedBindLayout.size, false),
      count: mapMemory(object.mapFd("refused_binds_count"), 8, false),
      names: maps.arrays.names,
    });
    const timer = setInterval(() => this.#tick(refusedBinds), tickMs).unref();
    const leftPeers = new LeftPeers(mapMemory(object.mapFd("udp_peers"), udpPeersMax * udpPeerLayout.size, true));
    const mapAudit = new MapAudit(writer.audited(), errnoName);
    const pins = new RestoredPins({ object, bpffs: this.#bpffs, cgroup, limits: this.#limits, settings });
    this.#opened = { lock, cgroup, object, maps, writer, applier, mapAudit, probePort, leftPeers, pins, timer };
    let { cursor } = found;
    if (before !== undefined && servicesFolderName(before.limits) !== servicesFolderName(this.#limits)) {
      cursor = await this.#moveFrom(before);
    }
    this.#isAttachDue = cursor === undefined && hasLinks(this.#bpffs);
    if (!this.#isAttachDue) this.#attach();
    this.#log.info("dataplane open", { bpffs: this.#bpffs, cgroup, states: found.states.length });
    return { cursor };
  }

  async apply(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    const result = await this.#use().applier.apply(round, this.#guarded(beforeActivate));
    if (this.#isAttachDue) this.#attach();
    return result;
  }

  async replaceAll(round: Round, beforeActivate: () => void): Promise<RoundResult> {
    const result = await this.#use().applier.replaceAll(round, this.#guarded(beforeActivate));
    if (this.#isAttachDue) this.#attach();
    return result;
  }

  dump(): readonly Frontend[] {
    const { maps } = this.#use();
    // No await: nothing is activated in between.
    const active = new BigInt64Array(maps.arrays.active, 0, 1)[0] ?? 0n;
    return maps.whole((arrays) => new MapReader(arrays).frontends(maps.elements("frontends"), active));
  }

  limits(): readonly Limit[] {
    return this.#use().applier.limits();
  }

  audit(entriesMax: number): AuditStep {
    const { mapAudit, pins } = this.#use();
    const { findings, isEnd } = mapAudit.step(entriesMax);
    return { findings: [...pins.take(), ...findings], isEnd };
  }

  auditSize(): number {
    return this.#use().mapAudit.size();
  }

  compare(plan: ServicePlan): readonly PlanDifference[] {
    return this.#use().applier.compare(plan);
  }

  services(): Iterable<string> {
    return this.#use().applier.services();
  }

  /** Resolves when nothing waits for a grace any more. */
  settled(): Promise<void> {
    return this.#use().applier.settled();
  }

  /** Leaves everything in the kernel as it is, serving. */
  async [Symbol.asyncDispose](): Promise<void> {
    const opened = this.#opened;
    if (opened === undefined) return;
    this.#opened = undefined;
    clearInterval(opened.timer);
    try {
      await opened.applier.settled();
    } finally {
      opened.object[Symbol.dispose]();
      opened.lock[Symbol.dispose]();
    }
  }

  #use(): Opened {
    if (this.#opened === undefined) throw new Error("the dataplane is used before open() or after its disposal");
    return this.#opened;
  }

  // The check of packets is there before the first revision that needs it.
  #guarded(beforeActivate: () => void): () => void {
    return () => {
      const { object, cgroup, writer, leftPeers } = this.#use();
      const nowMs = performance.now();
      leftPeers.moved(writer.stagedMoves(), nowMs);
      if (writer.hasGuarded || leftPeers.review(nowMs)) setEgress(object, this.#bpffs, cgroup, true);
      beforeActivate();
    };
  }

  #tick(refusedBinds: RefusedBinds): void {
    this.#tellRefusedBinds(refusedBinds);
    const { object, cgroup, writer, leftPeers, pins } = this.#use();
    const isNeeded = leftPeers.review(performance.now()) || writer.hasGuarded;
    try {
      setEgress(object, this.#bpffs, cgroup, isNeeded);
      this.#egressProblem = undefined;
    } catch (error) {
      const problem = String(error);
      if (problem !== this.#egressProblem) {
        this.#log.warn(`cannot ${isNeeded ? "attach" : "detach"} the check of packets`, { error: problem });
      }
      this.#egressProblem = problem;
    }
    if (this.#isAttached) pins.look();
  }

  #attach(): void {
    const { object, cgroup, writer, probePort } = this.#use();
    if (writer.hasGuarded) setEgress(object, this.#bpffs, cgroup, true);
    attachPrograms(object, this.#bpffs, cgroup);
    this.#isAttachDue = false;
    this.#isAttached = true;
    removeProbes(cgroup);
    probePrograms(cgroup, probePort);
    const current = new Set([servicesFolderName(this.#limits), flowsFolderName, linksFolder]);
    for (const name of fs.readdirSync(this.#bpffs)) {
      if (!isOurs(name) || current.has(name)) continue;
      removeFolder(this.#bpffs, name);
      this.#log.info("removed maps of another layout", { folder: name });
    }
  }

  // Other sizes: fill these maps with what is live in those, at the same cursor; then the links are switched.
  async #moveFrom(before: PinnedState): Promise<Cursor | undefined> {
    const { failures } = await this.#use().applier.replaceAll(roundOfPinned(before), () => undefined);
    for (const failure of failures) this.#log.warn("does not fit the new sizes", { ...failure });
    return before.cursor;
  }

  #tellRefusedBinds(refusedBinds: RefusedBinds): void {
    // One that tries again and again is said once a turn.
    const messages = refusedBinds.take().map(({ port, protocol, servicePort, pid, command }) => {
      const owner = servicePort ?? "a service that is gone";
      return `refused ${command} (pid ${pid}) port ${port}/${protocol}: it is the NodePort of ${owner}; give the process another port`;
    });
    for (const message of new Set(messages)) this.#log.warn(message);
  }
}

/** Not open yet: that is the first call on every dataplane. */
export function openKernelDataplane(options: KernelDataplaneOptions): KernelDataplane {
  return new KernelDataplane(options);
}

function hasOtherSizes(bpffs: string, limits: KernelLimits): boolean {
  return fs
    .readdirSync(bpffs)
    .some((name) => limitsOfFolder(name) !== undefined && name !== servicesFolderName(limits));
}

function writeSettings(object: LoadedObject): { readonly probePort: number; readonly settings: PinnedAt["settings"] } {
  const memory = mapMemory(object.mapFd("settings"), settingsLayout.size, true);
  const view = new DataView(memory);
  // A port nobody else writes: the probe must come out of these programs, not of another agent's.
  const probePort = randomInt(1_024, 65_536);
  view.setBigUint64(settingsLayout.host_netns_cookie, netnsCookie(), true);
  view.setUint16(settingsLayout.probe_port, probePort);
  const live = new Uint8Array(memory);
  return { probePort, settings: { live, written: live.slice() } };
}
