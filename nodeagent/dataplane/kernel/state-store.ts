/**
 * Who holds which state, and what it leads to: now, and once this round is active. Effects go through StateTable and KernelMaps;
 * nothing staged is seen before the caller stores `active`. Pure.
 */
import type { Descriptor } from "./descriptor-store.ts";
import type { ElementKey } from "./element-key.ts";
import { IndexAllocator } from "./index-allocator.ts";
import type { ElementMap, KernelMaps } from "./kernel-maps.ts";
import { absentDescriptor, firstFreeDescriptor } from "./layout.ts";
import type { StateTable } from "./state-table.ts";

/** What a state leads to. `undefined`: absent. */
export type Meaning = Descriptor | undefined;

/** By service: what it wants there. A frontend has one owner. */
export type Owners = ReadonlyMap<string, Descriptor>;

export interface State {
  readonly index: number;
  readonly element: ElementKey;
  live: Meaning;
  /** Set while a word of this round is staged. */
  pending: { readonly meaning: Meaning } | undefined;
  owners: Owners;
  pendingOwners: Owners;
  isNew: boolean;
}

/** Slots that readers may still reach until one grace after they were collected. */
export interface Retired {
  readonly descriptors: readonly Descriptor[];
  readonly stateIndices: readonly number[];
}

export type OnLive = (element: ElementKey, before: Meaning, after: Meaning) => void;

export type Inserted =
  | { readonly kind: "inserted"; readonly state: State }
  | { readonly kind: "refused"; readonly errno: number };

const noSpace = 28;
const noOwners: Owners = new Map();

export class StateStore {
  readonly #maps: KernelMaps;
  readonly #table: StateTable;
  readonly #indices: IndexAllocator;
  readonly #onLive: OnLive;
  readonly #states: Readonly<Record<ElementMap, Map<string, State>>> = {
    frontends: new Map(),
    addresses: new Map(),
    cidrs: new Map(),
  };
  readonly #staged = new Set<State>();
  #retiredDescriptors: Descriptor[] = [];
  #retiredIndices: number[] = [];

  /** @param onLive told of every change of what a state leads to, once it is live */
  constructor(maps: KernelMaps, table: StateTable, onLive: OnLive = () => undefined) {
    this.#maps = maps;
    this.#onLive = onLive;
    this.#table = table;
    this.#indices = new IndexAllocator(0, maps.sizes.states);
  }

  get hasRetired(): boolean {
    return this.#retiredDescriptors.length > 0 || this.#retiredIndices.length > 0;
  }

  /** Something is written that no activation has made visible. */
  get hasStaged(): boolean {
    return this.#staged.size > 0;
  }

  count(map: ElementMap): number {
    return this.#states[map].size;
  }

  get(map: ElementMap, text: string): State | undefined {
    return this.#states[map].get(text);
  }

  all(map: ElementMap): IterableIterator<State> {
    return this.#states[map].values();
  }

  /** What was found live; once, before anything is inserted. */
  adopt(found: readonly { index: number; element: ElementKey; live: Descriptor; owners: Owners }[]): void {
    for (const { index, element, live, owners } of found) {
      live.count++;
      this.#maps.reach("states", index + 1);
      const state = { index, element, live, pending: undefined, owners, pendingOwners: owners, isNew: false };
      this.#states[element.map].set(element.text, state);
      this.#onLive(element, undefined, live);
    }
    this.#indices.adopt(found.map(({ index }) => index));
  }

  /** Makes the element of a new state, staged: absent until the activation. */
  insert(element: ElementKey, descriptor: Descriptor, sequence: bigint): Inserted {
    const index = this.#indices.take();
    if (index === undefined) return { kind: "refused", errno: noSpace };
    const unreached = this.#maps.reach("states", index + 1);
    if (unreached !== 0) {
      this.#indices.release(index);
      return { kind: "refused", errno: unreached };
    }
    this.#table.claim(index, element.stateKey, element.stateLength, sequence, descriptor.index);
    const errno = this.#maps.insert(element.map, element.bytes, index);
    if (errno !== 0) {
      this.#table.clear(index);
      this.#indices.release(index);
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

  stage(state: State, meaning: Meaning, sequence: bigint): void {
    const planned = state.pending === undefined ? state.live : state.pending.meaning;
    this.#staged.add(state);
    if (planned === meaning) return;
    if (meaning !== undefined) meaning.count++;
    if (state.pending !== undefined) this.#dropMeaning(state.pending.meaning);
    state.pending = { meaning };
    this.#table.stage(state.index, sequence, meaning?.index ?? absentDescriptor);
  }

  /** What the activation will change. */
  *changes(
    map: ElementMap,
  ): Generator<{ readonly element: ElementKey; readonly before: Meaning; readonly after: Meaning }> {
    for (const { element, live, pending } of this.#staged) {
      if (element.map === map && pending !== undefined) yield { element, before: live, after: pending.meaning };
    }
  }

  /** Everything staged is live. */
  settle(): void {
    for (const state of this.#staged) {
      state.owners = state.pendingOwners;
      state.isNew = false;
      if (state.pending === undefined) continue;
      this.#onLive(state.element, state.live, state.pending.meaning);
      this.#dropMeaning(state.live);
      state.live = state.pending.meaning;
      state.pending = undefined;
      if (state.live === undefined) this.#forget(state);
    }
    this.#staged.clear();
  }

  /** Takes back one state; everything staged if none is named. @param active the sequence that stays */
  rollback(active: bigint, states: Iterable<State> = [...this.#staged]): void {
    for (const state of states) {
      this.#staged.delete(state);
      state.pendingOwners = state.owners;
      if (state.pending === undefined) continue;
      this.#dropMeaning(state.pending.meaning);
      state.pending = undefined;
      this.#table.rollback(state.index, active);
      if (state.isNew) this.#forget(state);
    }
  }

  /** What fell out of use since the last call. */
  collectRetired(): Retired {
    const retired = { descriptors: this.#retiredDescriptors, stateIndices: this.#retiredIndices };
    this.#retiredDescriptors = [];
    this.#retiredIndices = [];
    return retired;
  }

  /** Only after a grace that began after `collectRetired`. */
  release(stateIndices: readonly number[]): void {
    for (const index of stateIndices) {
      this.#table.clear(index);
      this.#indices.release(index);
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
    if (meaning.index >= firstFreeDescriptor) this.#retiredDescriptors.push(meaning);
  }
}
