/**
 * States: a key and two words, of which `active` chooses one (DESIGN 6.2, "Writing" and "Rollback"). Pure.
 * Invariants: at most one word of a pair is above `active`; zero is never stored beside a word that a reader may take.
 */
import { descriptorBits, descriptorMask, stateLayout } from "./layout.ts";

/** Stores one 64-bit word at once. Tests pass their own to look at every moment between two stores. */
export type StoreWord = (words: BigInt64Array, index: number, value: bigint) => unknown;

const blockStates = 1_024;
const zeros = Buffer.alloc(blockStates * stateLayout.size);
const wordsPerState = stateLayout.size / 8;
const firstWord = stateLayout.word / 8;

export class StateTable {
  readonly size: number;
  readonly words: BigInt64Array;
  /** The same memory: adoption looks at every state, and a BigInt per word would cost most of its time. */
  protected readonly halves: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  protected readonly store: StoreWord;

  constructor(states: ArrayBufferLike, store: StoreWord = Atomics.store) {
    this.words = new BigInt64Array(states);
    this.halves = new Uint32Array(states);
    this.#bytes = new Uint8Array(states);
    this.#view = new DataView(states);
    this.size = Math.floor(states.byteLength / stateLayout.size);
    this.store = store;
  }

  /** Gives a free index, which no reader can reach, to a key. Its element is inserted afterwards. */
  claim(index: number, key: Uint8Array, length: number, sequence: bigint, descriptor: number): void {
    this.clear(index);
    this.#bytes.set(key, index * stateLayout.size + stateLayout.key);
    this.#view.setUint32(index * stateLayout.size + stateLayout.length, length, true);
    this.store(this.words, wordAt(index), word(sequence, descriptor));
  }

  /** Overwrites the word of this sequence if there is one, else the older one. */
  stage(index: number, sequence: bigint, descriptor: number): void {
    const at = wordAt(index);
    const first = this.words[at] ?? 0n;
    const second = this.words[at + 1] ?? 0n;
    const isFirst =
      first >> descriptorBits === sequence ? true : second >> descriptorBits === sequence ? false : first <= second;
    this.store(this.words, isFirst ? at : at + 1, word(sequence, descriptor));
  }

  /** Takes back what is above `active`: copies the other word over it, or clears a state that was never active. */
  rollback(index: number, active: bigint): void {
    const at = wordAt(index);
    const first = this.words[at] ?? 0n;
    const second = this.words[at + 1] ?? 0n;
    const isFirstPending = first >> descriptorBits > active;
    const isSecondPending = second >> descriptorBits > active;
    // Both: only if `active` was lost (a half-done cleanup). No program reads such maps.
    if (isFirstPending && isSecondPending) this.clear(index);
    else if (isFirstPending) this.store(this.words, at, second);
    else if (isSecondPending) this.store(this.words, at + 1, first);
  }

  /** The same of every state. */
  rollbackAll(active: bigint): void {
    const activeNumber = Number(active);
    for (let from = 0; from < this.size; from += blockStates) {
      const until = Math.min(this.size, from + blockStates);
      // Most were never used: comparing whole blocks takes 2 ms, looking at each word 40.
      const block = Buffer.from(this.words.buffer, from * stateLayout.size, (until - from) * stateLayout.size);
      if (block.equals(zeros.subarray(0, block.length))) continue;
      for (let index = from; index < until; index++)
        if (this.#isAbove(index, activeNumber)) this.rollback(index, active);
    }
  }

  // One of its words. Sequences have 40 bits.
  #isAbove(index: number, active: number): boolean {
    const at = wordAt(index) * 2;
    const { halves } = this;
    const sequenceAt = (low: number): number => (halves[low + 1] ?? 0) * 256 + ((halves[low] ?? 0) >>> 24);
    return sequenceAt(at) > active || sequenceAt(at + 2) > active;
  }

  /** For a state that no reader can reach. The older word first: the other one must not be left alone with it. */
  clear(index: number): void {
    const at = wordAt(index);
    const isFirstOlder = (this.words[at] ?? 0n) <= (this.words[at + 1] ?? 0n);
    this.store(this.words, isFirstOlder ? at : at + 1, 0n);
    this.store(this.words, isFirstOlder ? at + 1 : at, 0n);
  }

  /**
   * True if the key of a state, or its choice under `active`, was not this one, and is again. Nothing may be pending. A reader
   * takes the right word from the first store on: the other one, if it is above `active` or newer, is replaced by a copy.
   */
  restore(index: number, active: bigint, key: Uint8Array, length: number, descriptor: number): boolean {
    let isRestored = false;
    const held = this.key(index);
    if (this.length(index) !== length || key.some((byte, i) => byte !== held[i])) {
      this.#bytes.set(key, index * stateLayout.size + stateLayout.key);
      this.#view.setUint32(index * stateLayout.size + stateLayout.length, length, true);
      isRestored = true;
    }
    const at = wordAt(index);
    const first = this.words[at] ?? 0n;
    const second = this.words[at + 1] ?? 0n;
    const newer = first > second ? first : second;
    if (newer >> descriptorBits <= active && Number(newer & descriptorMask) === descriptor) return isRestored;
    const isRight = (of: bigint): boolean =>
      of > 0n && of >> descriptorBits <= active && Number(of & descriptorMask) === descriptor;
    const right = isRight(first) ? first : isRight(second) ? second : word(active, descriptor);
    const isFirstOlder = first <= second;
    this.store(this.words, isFirstOlder ? at : at + 1, right);
    this.store(this.words, isFirstOlder ? at + 1 : at, right);
    return true;
  }

  /** The descriptor a reader takes now; 0: absent. */
  chosen(index: number, active: bigint): number {
    const first = this.words[wordAt(index)] ?? 0n;
    const second = this.words[wordAt(index) + 1] ?? 0n;
    const newer = first > second ? first : second;
    const older = first > second ? second : first;
    return Number((newer >> descriptorBits <= active ? newer : older) & descriptorMask);
  }

  /** A view, 20 bytes. */
  key(index: number): Uint8Array {
    return this.#bytes.subarray(index * stateLayout.size, index * stateLayout.size + stateLayout.length);
  }

  length(index: number): number {
    return this.#view.getUint32(index * stateLayout.size + stateLayout.length, true);
  }
}

function wordAt(index: number): number {
  return index * wordsPerState + firstWord;
}

function word(sequence: bigint, descriptor: number): bigint {
  return (sequence << descriptorBits) | BigInt(descriptor);
}
