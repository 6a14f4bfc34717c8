/**
 * Writes revisions into the maps (DESIGN 6.2): decide, stage, activate or roll back, release. Pure: all effects go through
 * the mapped arrays and the port `KernelMaps`, and nothing of a revision is seen before the single store of `activate`.
 */
import type { Address, Prefix } from "@weft/proto/address.ts";
import type { Cursor } from "@weft/proto/cursor.ts";
import { frontendKey, type Frontend } from "../../plan/frontend.ts";
import type { ServicePlan } from "../dataplane.ts";
import type { AdoptedMaps } from "./adopt.ts";
import { DescriptorStore, type Descriptor } from "./descriptor-store.ts";
import { addressElement, cidrElement, frontendElement, type ElementKey } from "./element-key.ts";
import { IndexAllocator } from "./index-allocator.ts";
import type { ElementMap, KernelMaps } from "./kernel-maps.ts";
import { activationLayout, activationsMax, dropDescriptor, rejectDescriptor } from "./layout.ts";
import { StateTable, type StoreWord } from "./state-table.ts";

/** What a state leads to. `undefined`: absent. */
type Meaning = Descriptor | undefined;

interface State {
  readonly index: number;
  readonly element: ElementKey;
  live: Meaning;
  /** Set while a word of this round is staged. */
  pending: { readonly meaning: Meaning } | undefined;
  /** Services that want it; a frontend has one. */
  owners: ReadonlySet<string>;
  pendingOwners: ReadonlySet<string>;
  isNew: boolean;
}

/** What a service will hold, with everything it needs allocated. Invisible until staged. */
export interface PreparedService {
  readonly plan: ServicePlan;
  readonly frontends: readonly { readonly key: string; readonly frontend: Frontend; readonly descriptor: Descriptor }[];
}

/** Slots that readers may still reach until one grace after they were collected. */
export interface Retired {
  readonly descriptors: readonly Descriptor[];
  readonly stateIndices: readonly number[];
}

export class RevisionWriter {
  readonly #maps: KernelMaps;
  readonly #table: StateTable;
  readonly #store: StoreWord;
  readonly #descriptors: DescriptorStore;
  readonly #stateIndices: IndexAllocator;
  readonly #states: Readonly<Record<ElementMap, Map<string, State>>> = {
    frontends: new Map(),
    addresses: new Map(),
    cidrs: new Map(),
  };
  /** Live frontends by service, as keys of `#states.frontends`. */
  readonly #held = new Map<string, ServicePlan>();
  readonly #staged = new Set<State>();
  readonly #stagedPlans = new Map<string, ServicePlan>();
  readonly #activeWords: BigInt64Array;
  readonly #activations: DataView;
  #sequence: bigint;
  #retiredDescriptors: Descriptor[] = [];
  #retiredIndices: number[] = [];
  readonly #reject: Descriptor;
  readonly #drop: Descriptor;

  constructor(maps: KernelMaps, table?: StateTable, store: StoreWord = Atomics.store) {
    this.#maps = maps;
    this.#store = store;
    this.#table = table ?? new StateTable(maps.arrays.states, store);
    this.#descriptors = new DescriptorStore(maps.arrays, maps.sizes);
    this.#stateIndices = new IndexAllocator(0, maps.sizes.states);
    this.#activeWords = new BigInt64Array(maps.arrays.active, 0, 1);
    this.#activations = new DataView(maps.arrays.activations);
    this.#sequence = this.#activeWords[0] ?? 0n;
    this.#reject = this.#fixed(rejectDescriptor, "reject");
    this.#drop = this.#fixed(dropDescriptor, "drop");
  }

  get sequence(): bigint {
    return this.#sequence;
  }

  get hasRetired(): boolean {
    return this.#retiredDescriptors.length > 0 || this.#retiredIndices.length > 0;
  }

  held(service: string): ServicePlan {
    return this.#held.get(service) ?? { service, frontends: [], rejectAddresses: [], passAddresses: [] };
  }

  heldServices(): IterableIterator<string> {
    return this.#held.keys();
  }

  /** Continues from what was found live. One grace must pass before anything is prepared. */
  adopt(found: AdoptedMaps): void {
    const descriptors = this.#descriptors.adopt(found.descriptors);
    const byService = new Map<string, Frontend[]>();
    const indices: number[] = [];
    for (const { index, element, descriptor, frontend, service } of found.states) {
      const live =
        descriptor === rejectDescriptor
          ? this.#reject
          : descriptor === dropDescriptor
            ? this.#drop
            : descriptors.get(descriptor);
      if (live === undefined) {
        this.#maps.remove(element.map, element.bytes);
        continue;
      }
      live.count++;
      const owners = new Set(service === "" ? [] : [service]);
      this.#states[element.map].set(element.text, {
        index,
        element,
        live,
        pending: undefined,
        owners,
        pendingOwners: owners,
        isNew: false,
      });
      indices.push(index);
      if (frontend === undefined || service === "") continue;
      const of = byService.get(service);
      if (of === undefined) byService.set(service, [frontend]);
      else of.push(frontend);
    }
    for (const [service, frontends] of byService)
      this.#held.set(service, { service, frontends, rejectAddresses: [], passAddresses: [] });
    this.#stateIndices.adopt(indices);
  }

  /** Allocates and fills what `plan` needs. Undefined, and nothing is kept, if there is no room. */
  prepare(plan: ServicePlan, revision: number, isFromReserve = false): PreparedService | undefined {
    const shared: Descriptor[] = [];
    for (const frontend of this.held(plan.service).frontends) {
      const live = this.#states.frontends.get(frontendKey(frontend))?.live;
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
        .filter(({ key }) => !this.#states.frontends.has(key))
        .map(({ key, frontend, descriptor }) => ({ element: frontendElement(frontend, key), descriptor })),
      ...prepared.plan.rejectAddresses
        .filter((address) => !this.#states.addresses.has(address))
        .map((address) => ({ element: addressElement(address), descriptor: this.#reject })),
    ];
    for (const { element, descriptor } of elements) {
      const outcome = this.#insert(element, descriptor);
      if (outcome.kind === "inserted") {
        made.push(outcome.state);
        continue;
      }
      for (const state of made) this.#rollback(state);
      return { errno: outcome.errno };
    }
    return undefined;
  }

  /** Stages the words of all that exists. Cannot fail: plain stores. */
  stage(prepared: PreparedService): void {
    const { plan } = prepared;
    const before = this.held(plan.service);
    for (const { key, descriptor } of prepared.frontends) {
      const state = this.#states.frontends.get(key);
      if (state === undefined) throw new Error(`frontend ${key} of ${plan.service} is staged before it is inserted`);
      state.pendingOwners = new Set([plan.service]);
      this.#stageWord(state, descriptor);
      descriptor.count--;
    }
    const wanted = new Set(prepared.frontends.map(({ key }) => key));
    for (const frontend of before.frontends) {
      const state = this.#states.frontends.get(frontendKey(frontend));
      if (state === undefined || wanted.has(state.element.text) || !state.pendingOwners.has(plan.service)) continue;
      state.pendingOwners = new Set();
      this.#stageWord(state, undefined);
    }
    this.#stageAddresses(plan, before.rejectAddresses);
    this.#stagedPlans.set(plan.service, plan);
  }

  /** Undefined, or why the kernel refused one. */
  stageCidrs(prefixes: readonly Prefix[]): { readonly errno: number } | undefined {
    const wanted = new Map(prefixes.map((prefix) => [cidrElement(prefix).text, prefix]));
    for (const [text, prefix] of wanted) {
      const state = this.#states.cidrs.get(text);
      if (state !== undefined) {
        this.#stageWord(state, this.#drop);
        continue;
      }
      const outcome = this.#insert(cidrElement(prefix), this.#drop);
      if (outcome.kind === "refused") return { errno: outcome.errno };
    }
    for (const [text, state] of this.#states.cidrs) if (!wanted.has(text)) this.#stageWord(state, undefined);
    return undefined;
  }

  /** What is owned by no service any more: after adopting, owners of addresses are known only once everything was named. */
  stageOrphans(): void {
    for (const map of ["frontends", "addresses"] as const) {
      for (const state of this.#states[map].values())
        if (state.pendingOwners.size === 0) this.#stageWord(state, undefined);
    }
  }

  /** The step: everything staged is what packets hit from this store on. */
  activate(cursor: Cursor): void {
    const sequence = this.#sequence + 1n;
    const at = Number(sequence % BigInt(activationsMax)) * activationLayout.size;
    this.#activations.setBigUint64(at + activationLayout.sequence, sequence, true);
    this.#activations.setBigUint64(at + activationLayout.epoch_ms, BigInt(cursor.epoch.createdMs), true);
    this.#activations.setUint32(at + activationLayout.epoch_random, cursor.epoch.random, true);
    this.#activations.setUint32(at + activationLayout.reserved, 0, true);
    this.#activations.setBigUint64(at + activationLayout.revision, BigInt(cursor.revision), true);
    this.#store(this.#activeWords, 0, sequence);
    this.#sequence = sequence;
    for (const state of this.#staged) this.#settle(state);
    this.#staged.clear();
    for (const [service, plan] of this.#stagedPlans) {
      if (plan.frontends.length === 0 && plan.rejectAddresses.length === 0) this.#held.delete(service);
      else this.#held.set(service, plan);
    }
    this.#stagedPlans.clear();
  }

  /** Takes back everything staged. */
  rollback(): void {
    for (const state of this.#staged) this.#rollback(state);
    this.#staged.clear();
    this.#stagedPlans.clear();
  }

  /** What fell out of use since the last call. */
  collectRetired(): Retired {
    const retired = { descriptors: this.#retiredDescriptors, stateIndices: this.#retiredIndices };
    this.#retiredDescriptors = [];
    this.#retiredIndices = [];
    return retired;
  }

  /** Only after a grace that began after `collectRetired`. */
  release(retired: Retired): void {
    for (const descriptor of retired.descriptors) this.#descriptors.release(descriptor);
    for (const index of retired.stateIndices) {
      this.#table.clear(index);
      this.#stateIndices.release(index);
    }
  }

  #stageAddresses(plan: ServicePlan, before: readonly Address[]): void {
    for (const address of plan.rejectAddresses) {
      const state = this.#states.addresses.get(address);
      if (state === undefined) throw new Error(`address ${address} of ${plan.service} is staged before it is inserted`);
      if (!state.pendingOwners.has(plan.service)) state.pendingOwners = new Set(state.pendingOwners).add(plan.service);
      this.#stageWord(state, this.#reject);
    }
    for (const address of before) {
      const state = this.#states.addresses.get(address);
      if (state === undefined || plan.rejectAddresses.includes(address)) continue;
      const owners = new Set(state.pendingOwners);
      owners.delete(plan.service);
      state.pendingOwners = owners;
      this.#stageWord(state, owners.size > 0 ? this.#reject : undefined);
    }
  }

  #insert(
    element: ElementKey,
    descriptor: Descriptor,
  ): { readonly kind: "inserted"; readonly state: State } | { readonly kind: "refused"; readonly errno: number } {
    const index = this.#stateIndices.take();
    if (index === undefined) return { kind: "refused", errno: noSpace };
    this.#table.claim(index, element.stateKey, element.stateLength, this.#sequence + 1n, descriptor.index);
    const errno = this.#maps.insert(element.map, element.bytes, index);
    if (errno !== 0) {
      this.#table.clear(index);
      this.#stateIndices.release(index);
      return { kind: "refused", errno };
    }
    descriptor.count++;
    const state: State = {
      index,
      element,
      live: undefined,
      pending: { meaning: descriptor },
      owners: noOwners,
      pendingOwners: noOwners,
      isNew: true,
    };
    this.#states[element.map].set(element.text, state);
    this.#staged.add(state);
    return { kind: "inserted", state };
  }

  #stageWord(state: State, meaning: Meaning): void {
    const planned = state.pending === undefined ? state.live : state.pending.meaning;
    this.#staged.add(state);
    if (planned === meaning) return;
    if (meaning !== undefined) meaning.count++;
    if (state.pending !== undefined) this.#dropMeaning(state.pending.meaning);
    state.pending = { meaning };
    this.#table.stage(state.index, this.#sequence + 1n, meaning?.index ?? 0);
  }

  #settle(state: State): void {
    state.owners = state.pendingOwners;
    state.isNew = false;
    if (state.pending === undefined) return;
    this.#dropMeaning(state.live);
    state.live = state.pending.meaning;
    state.pending = undefined;
    if (state.live === undefined) this.#forget(state);
  }

  #rollback(state: State): void {
    state.pendingOwners = state.owners;
    if (state.pending === undefined) return;
    this.#dropMeaning(state.pending.meaning);
    state.pending = undefined;
    this.#table.rollback(state.index, this.#sequence);
    if (state.isNew) {
      this.#staged.delete(state);
      this.#forget(state);
    }
  }

  // Its index waits for a grace: a reader may have found it through the element.
  #forget(state: State): void {
    this.#states[state.element.map].delete(state.element.text);
    this.#maps.remove(state.element.map, state.element.bytes);
    this.#retiredIndices.push(state.index);
  }

  #dropMeaning(meaning: Meaning): void {
    if (meaning === undefined || --meaning.count > 0) return;
    if (meaning !== this.#reject && meaning !== this.#drop) this.#retiredDescriptors.push(meaning);
  }

  // Of no service port: written anew at each start, always with the same bytes.
  #fixed(index: number, action: "reject" | "drop"): Descriptor {
    const content = {
      kind: "ClusterIP",
      servicePort: "",
      scope: "internal",
      action,
      affinitySeconds: 0,
      targets: [],
    } as const;
    this.#descriptors.write(index, content, 0, 0, 0);
    return { index, content, range: undefined, name: undefined, count: 1 };
  }
}

const noSpace = 28;
const noOwners: ReadonlySet<string> = new Set();
