/**
 * Writes revisions into the maps (DESIGN 6.2): decide, stage, activate or roll back, release. Pure: all effects go through
 * the mapped arrays and the port `KernelMaps`, and nothing of a revision is seen before the single store of `activate`.
 */
import type { Address, Prefix } from "@weft/proto/address.ts";
import { isSameEpoch, type Cursor } from "@weft/proto/cursor.ts";
import { frontendKey, type Frontend } from "../../plan/frontend.ts";
import { Targets, type Target } from "../../plan/targets.ts";
import type { ServicePlan } from "../dataplane.ts";
import { isEmptyPlan } from "../memory/admit.ts";
import { contentDifference, type PlanDifference } from "../plan-difference.ts";
import { liveCursor, type AdoptedMaps } from "./adopt.ts";
import { DescriptorStore, type Descriptor } from "./descriptor-store.ts";
import { addressElement, cidrElement, frontendElement, type ElementKey } from "./element-key.ts";
import type { KernelMaps } from "./kernel-maps.ts";
import {
  activationLayout,
  activationsMax,
  dropDescriptor,
  frontendKeyLayout,
  passDescriptor,
  protocolCodes,
  rejectDescriptor,
} from "./layout.ts";
import type { TargetMove } from "./left-peers.ts";
import type { Audited } from "./map-audit.ts";
import { NodePorts } from "./node-ports.ts";
import { StateStore, type Owners, type Retired, type State } from "./state-store.ts";
import { StateTable, type StoreWord } from "./state-table.ts";

/** What a service will hold, with everything it needs allocated. Invisible until staged. */
export interface PreparedService {
  readonly plan: ServicePlan;
  readonly frontends: readonly { readonly key: string; readonly frontend: Frontend; readonly descriptor: Descriptor }[];
}

export class RevisionWriter {
  readonly #maps: KernelMaps;
  readonly #store: StoreWord;
  readonly #descriptors: DescriptorStore;
  readonly #states: StateStore;
  readonly #nodePorts: NodePorts;
  /** Live frontends by service, as keys of `#states.frontends`. */
  readonly #held = new Map<string, ServicePlan>();
  readonly #stagedPlans = new Map<string, ServicePlan>();
  readonly #activeWords: BigInt64Array;
  readonly #activations: DataView;
  readonly #table: StateTable;
  /** What `active` says, and the cursor that this writer last stored with it. */
  #active: bigint;
  #cursor: Cursor | undefined;
  #sequence: bigint;
  readonly #reject: Descriptor;
  readonly #drop: Descriptor;
  readonly #pass: Descriptor;

  /** @param lastSequence of maps that these take over from: flow entries hold words of theirs */
  constructor(maps: KernelMaps, table?: StateTable, store: StoreWord = Atomics.store, lastSequence = 0n) {
    this.#maps = maps;
    this.#store = store;
    this.#descriptors = new DescriptorStore(maps);
    this.#nodePorts = new NodePorts(maps.arrays.nodePorts);
    this.#table = table ?? new StateTable(maps.arrays.states, store);
    this.#states = new StateStore(maps, this.#table, (element, before, after) =>
      this.#nodePorts.moved(element, before, after),
    );
    this.#activeWords = new BigInt64Array(maps.arrays.active, 0, 1);
    this.#activations = new DataView(maps.arrays.activations);
    const active = this.#activeWords[0] ?? 0n;
    this.#active = active;
    this.#sequence = active > lastSequence ? active : lastSequence;
    this.#reject = this.#fixed(rejectDescriptor, "reject");
    this.#drop = this.#fixed(dropDescriptor, "drop");
    this.#pass = this.#fixed(passDescriptor, "pass");
  }

  get sequence(): bigint {
    return this.#sequence;
  }

  get hasRetired(): boolean {
    return this.#states.hasRetired;
  }

  /** Whether a frontend has source ranges, live or about to be. */
  get hasGuarded(): boolean {
    return this.#descriptors.rangeSets.used > 0;
  }

  /** Once, one grace after `adopt`. */
  removeOrphans(): void {
    this.#descriptors.rangeSets.removeOrphans();
  }

  held(service: string): ServicePlan {
    return this.#held.get(service) ?? { service, frontends: [], rejectAddresses: [], passAddresses: [] };
  }

  heldServices(): IterableIterator<string> {
    return this.#held.keys();
  }

  /** Services that hold something; one comes as often as it owns a state. */
  *owners(): Generator<string, undefined> {
    yield* this.#held.keys();
    for (const map of ["frontends", "addresses"] as const)
      for (const { owners } of this.#states.all(map)) yield* owners.keys();
  }

  /** How what states lead to differs from `plan`, if that is what is held. */
  compareStates(plan: ServicePlan): readonly PlanDifference[] {
    const { service } = plan;
    const differences: PlanDifference[] = [];
    for (const frontend of plan.frontends) {
      const entry = frontendKey(frontend);
      const state = this.#states.get("frontends", entry);
      const live = state?.owners.has(service) === true ? state.live : undefined;
      const what = live === undefined ? "held, not live" : contentDifference(live.content, frontend);
      if (what !== undefined) differences.push({ kind: "differs", servicePort: frontend.servicePort, entry, what });
    }
    for (const [entry, descriptor] of this.#addressesOf(plan)) {
      const state = this.#states.get("addresses", entry);
      if (state?.owners.get(service) === descriptor && state.live === this.#wantedBy(state.owners)) continue;
      differences.push({ kind: "differs", servicePort: service, entry, what: "held, not live" });
    }
    return differences;
  }

  /** Continues from what was found live. One grace must pass before anything is prepared. */
  adopt(found: AdoptedMaps): void {
    const descriptors = this.#descriptors.adopt(found.descriptors, found.rangeSets);
    const byService = new Map<string, Frontend[]>();
    const fixed = new Map([this.#reject, this.#drop, this.#pass].map((of) => [of.index, of]));
    const states: { index: number; element: ElementKey; live: Descriptor; owners: Owners }[] = [];
    for (const { index, element, descriptor, frontend, service } of found.states) {
      const live = fixed.get(descriptor) ?? descriptors.get(descriptor);
      if (live === undefined) {
        this.#maps.remove(element.map, element.bytes);
        continue;
      }
      states.push({ index, element, live, owners: new Map(service === "" ? [] : [[service, live]]) });
      if (frontend === undefined || service === "") continue;
      const of = byService.get(service);
      if (of === undefined) byService.set(service, [frontend]);
      else of.push(frontend);
    }
    for (const [service, frontends] of byService)
      this.#held.set(service, { service, frontends, rejectAddresses: [], passAddresses: [] });
    this.#states.adopt(states);
    this.#nodePorts.clearOthers();
  }

  /** Allocates and fills what `plan` needs. Undefined, and nothing is kept, if there is no room. */
  prepare(plan: ServicePlan, revision: number, isFromReserve = false): PreparedService | undefined {
    const shared: Descriptor[] = [];
    for (const frontend of this.held(plan.service).frontends) {
      const live = this.#states.get("frontends", frontendKey(frontend))?.live;
      if (live !== undefined && live !== this.#reject && !shared.includes(live)) shared.push(live);
    }
    const frontends: { key: string; frontend: Frontend; descriptor: Descriptor }[] = [];
    for (const frontend of plan.frontends) {
      const descriptor = this.#descriptors.find(frontend, shared, revision, isFromReserve);
      if (descriptor === undefined) {
        this.abandon({ plan, frontends });
        return undefined;
      }
      if (!shared.includes(descriptor)) shared.push(descriptor);
      descriptor.count++;
      frontends.push({ key: frontendKey(frontend), frontend, descriptor });
    }
    return { plan, frontends };
  }

  /** For a service for which there is no room at all: every frontend that it holds refuses. Needs none. */
  prepareRefusal(plan: ServicePlan): PreparedService {
    const frontends = plan.frontends.map((frontend) => {
      this.#reject.count++;
      return { key: frontendKey(frontend), frontend, descriptor: this.#reject };
    });
    return { plan, frontends };
  }

  /** Takes back a `prepare` that is not staged. */
  abandon({ frontends }: PreparedService): void {
    for (const { descriptor } of frontends) {
      if (--descriptor.count === 0 && descriptor !== this.#reject) this.#descriptors.release(descriptor);
    }
  }

  /**
   * Makes the elements of new frontends and addresses; their words say absent until `activate`. False if the kernel refused
   * one (`errno`): then those that were made are gone again, and the service must be prepared anew without new ones.
   */
  insertNew(prepared: PreparedService): { readonly errno: number } | undefined {
    const made: State[] = [];
    const elements = [
      ...prepared.frontends
        .filter(({ key }) => this.#states.get("frontends", key) === undefined)
        .map(({ key, frontend, descriptor }) => ({ element: frontendElement(frontend, key), descriptor })),
      ...this.#addressesOf(prepared.plan)
        .filter(([address]) => this.#states.get("addresses", address) === undefined)
        .map(([address, descriptor]) => ({ element: addressElement(address), descriptor })),
    ];
    for (const { element, descriptor } of elements) {
      const outcome = this.#states.insert(element, descriptor, this.#sequence + 1n);
      if (outcome.kind === "inserted") {
        made.push(outcome.state);
        continue;
      }
      this.#states.rollback(this.#sequence, made);
      return { errno: outcome.errno };
    }
    return undefined;
  }

  /** Stages the words of all that exists. Cannot fail: plain stores. */
  stage(prepared: PreparedService): void {
    const { plan } = prepared;
    const before = this.held(plan.service);
    for (const { key, descriptor } of prepared.frontends) {
      const state = this.#states.get("frontends", key);
      if (state === undefined) throw new Error(`frontend ${key} of ${plan.service} is staged before it is inserted`);
      if (state.pendingOwners.size !== 1 || state.pendingOwners.get(plan.service) !== descriptor)
        state.pendingOwners = new Map([[plan.service, descriptor]]);
      this.#stageWord(state, descriptor);
      descriptor.count--;
    }
    const wanted = new Set(prepared.frontends.map(({ key }) => key));
    for (const frontend of before.frontends) {
      const state = this.#states.get("frontends", frontendKey(frontend));
      if (state === undefined || wanted.has(state.element.text) || !state.pendingOwners.has(plan.service)) continue;
      state.pendingOwners = new Map();
      this.#stageWord(state, undefined);
    }
    this.#stageAddresses(plan, before);
    this.#stagedPlans.set(plan.service, plan);
  }

  /** Undefined, or why the kernel refused one. */
  stageCidrs(prefixes: readonly Prefix[]): { readonly errno: number } | undefined {
    const wanted = new Map(prefixes.map((prefix) => [cidrElement(prefix).text, prefix]));
    for (const [text, prefix] of wanted) {
      const state = this.#states.get("cidrs", text);
      if (state !== undefined) {
        this.#stageWord(state, this.#drop);
        continue;
      }
      const outcome = this.#states.insert(cidrElement(prefix), this.#drop, this.#sequence + 1n);
      if (outcome.kind === "refused") return { errno: outcome.errno };
    }
    for (const state of this.#states.all("cidrs"))
      if (!wanted.has(state.element.text)) this.#stageWord(state, undefined);
    return undefined;
  }

  /** What is owned by no service any more: after adopting, owners of addresses are known only once everything was named. */
  stageOrphans(): void {
    for (const map of ["frontends", "addresses"] as const) {
      for (const state of this.#states.all(map)) if (state.pendingOwners.size === 0) this.#stageWord(state, undefined);
    }
  }

  /** What UDP frontends gain and lose with the activation. */
  *stagedMoves(): Generator<TargetMove> {
    for (const { element, before, after } of this.#states.changes("frontends")) {
      if (element.bytes[frontendKeyLayout.protocol] !== protocolCodes.UDP) continue;
      const from = before?.content.targets ?? Targets.none;
      const to = after?.content.targets ?? Targets.none;
      if (from !== to) yield { frontend: element.bytes, left: missingIn(to, from), came: missingIn(from, to) };
    }
  }

  /** The step: everything staged is what packets hit from this store on. */
  activate(cursor: Cursor): void {
    const sequence = this.#sequence + 1n;
    this.#writeActivation(sequence, cursor);
    this.#store(this.#activeWords, 0, sequence);
    this.#sequence = sequence;
    this.#active = sequence;
    this.#cursor = cursor;
    this.#states.settle();
    for (const [service, plan] of this.#stagedPlans) {
      if (isEmptyPlan(plan)) this.#held.delete(service);
      else this.#held.set(service, plan);
    }
    this.#stagedPlans.clear();
  }

  /** Takes back everything staged. */
  rollback(): void {
    this.#states.rollback(this.#sequence);
    this.#stagedPlans.clear();
  }

  /** What fell out of use since the last call. */
  collectRetired(): Retired {
    return this.#states.collectRetired();
  }

  /** Only after a grace that began after `collectRetired`. */
  release(retired: Retired): void {
    for (const descriptor of retired.descriptors) this.#descriptors.release(descriptor);
    this.#states.release(retired.stateIndices);
  }

  /** For an audit. */
  audited(): Audited {
    return {
      maps: this.#maps,
      table: this.#table,
      states: this.#states,
      descriptors: this.#descriptors,
      nodePorts: this.#nodePorts,
      sequence: () => this.#active,
      restoreActive: () => this.#restoreActive(),
    };
  }

  // The record first, as an activation does.
  #restoreActive(): boolean {
    const cursor = this.#cursor;
    const live = cursor === undefined ? undefined : liveCursor(this.#activations.buffer, this.#active);
    const isRecordRight =
      cursor === undefined ||
      (live !== undefined && isSameEpoch(live.epoch, cursor.epoch) && live.revision === cursor.revision);
    if (isRecordRight && this.#activeWords[0] === this.#active) return false;
    if (!isRecordRight) this.#writeActivation(this.#active, cursor);
    this.#store(this.#activeWords, 0, this.#active);
    return true;
  }

  #writeActivation(sequence: bigint, cursor: Cursor): void {
    const at = Number(sequence % BigInt(activationsMax)) * activationLayout.size;
    this.#activations.setBigUint64(at + activationLayout.sequence, sequence, true);
    this.#activations.setBigUint64(at + activationLayout.epoch_ms, BigInt(cursor.epoch.createdMs), true);
    this.#activations.setUint32(at + activationLayout.epoch_random, cursor.epoch.random, true);
    this.#activations.setUint32(at + activationLayout.reserved, 0, true);
    this.#activations.setBigUint64(at + activationLayout.revision, BigInt(cursor.revision), true);
  }

  #addressesOf(plan: ServicePlan): (readonly [Address, Descriptor])[] {
    return [
      ...plan.rejectAddresses.map((address) => [address, this.#reject] as const),
      ...plan.passAddresses.map((address) => [address, this.#pass] as const),
    ];
  }

  #stageAddresses(plan: ServicePlan, before: ServicePlan): void {
    const wanted = new Map(this.#addressesOf(plan));
    for (const [address, descriptor] of wanted) {
      const state = this.#states.get("addresses", address);
      if (state === undefined) throw new Error(`address ${address} of ${plan.service} is staged before it is inserted`);
      if (state.pendingOwners.get(plan.service) !== descriptor) {
        state.pendingOwners = new Map(state.pendingOwners).set(plan.service, descriptor);
      }
      this.#stageWord(state, this.#wantedBy(state.pendingOwners));
    }
    for (const [address] of this.#addressesOf(before)) {
      const state = this.#states.get("addresses", address);
      if (state === undefined || wanted.has(address)) continue;
      const owners = new Map(state.pendingOwners);
      owners.delete(plan.service);
      state.pendingOwners = owners;
      this.#stageWord(state, this.#wantedBy(owners));
    }
  }

  // While an address goes from one service to another, or two name it: what one passes, none refuses.
  #wantedBy(owners: Owners): Descriptor | undefined {
    let wanted: Descriptor | undefined;
    for (const descriptor of owners.values()) if (wanted !== this.#pass) wanted = descriptor;
    return wanted;
  }

  #stageWord(state: State, meaning: Descriptor | undefined): void {
    this.#states.stage(state, meaning, this.#sequence + 1n);
  }

  // Of no service port: written anew at each start, always with the same bytes.
  #fixed(index: number, action: "reject" | "drop" | "pass"): Descriptor {
    const content = {
      kind: "ClusterIP",
      servicePort: "",
      scope: "internal",
      action,
      affinitySeconds: 0,
      targets: Targets.none,
      sourceRanges: undefined,
    } as const;
    this.#descriptors.write(index, content, { base: 0, name: 0, rangeSet: 0 }, 0);
    return { index, content, range: undefined, name: undefined, rangeSet: undefined, revision: 0, count: 1 };
  }
}

// Those of `targets` that `others` does not hold.
function missingIn(others: Targets, targets: Targets): readonly Target[] {
  if (others.length === 0 || targets.length === 0) return [...targets];
  const held = new Set(others.map(({ address, port }) => `${address} ${port}`));
  return [...targets].filter(({ address, port }) => !held.has(`${address} ${port}`));
}
